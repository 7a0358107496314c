"""Secrets of projects: referred to by the rows of releases, opened in memory at the moment they are handed over."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from domain.delivery_spec import ServiceSpec
from domain.errors import ErrorCode, TerminalError
from domain.secrets import SecretKind, split_token
from drivers.sources.base import GitCredentials
from runtime.encryption import Sealer
from storage.engine import Sessions, transaction
from storage.models import Environment, Release, Secret
from storage.repositories.secrets import SecretRepository
from storage.sealed import secret_context
from storage.tenancy import PLATFORM


async def secret_references(
    session: AsyncSession, environment: Environment, required: Iterable[str]
) -> list[dict[str, Any]]:
    """What a release of an environment runs with now: name, id and version of each secret, by name.

    Raises:
        TerminalError: SECRET_MISSING, naming those that delivery.yaml asks for and the project does not have.
    """
    found = await SecretRepository(session, PLATFORM).for_service(environment.project_id, environment.name)
    missing = sorted(set(required) - {secret.name for secret in found})
    if missing:
        raise _missing(missing, f"in {environment.name}")
    return [{"name": secret.name, "id": str(secret.id), "version": secret.version} for secret in found]


class ProjectSecrets:
    """Decrypts secrets. The values must not be logged, stored or returned by an activity."""

    def __init__(self, sessions: Sessions, sealer: Sealer) -> None:
        self._sessions = sessions
        self._sealer = sealer

    async def of_release(self, session: AsyncSession, release: Release) -> dict[str, str]:
        """The variables a release runs with, in the newest version of each secret it refers to.

        Raises:
            TerminalError: SECRET_MISSING, one that it cannot run without was deleted meanwhile.
            DependencyError: one cannot be opened with the keys at hand.
        """
        ids = {UUID(reference["id"]): reference["name"] for reference in release.secrets}
        found = await SecretRepository(session, PLATFORM).several(list(ids)) if ids else []
        gone = set(ids.values()) - {secret.name for secret in found}
        needed = sorted(gone & set(ServiceSpec.model_validate(release.service).secrets))
        if needed:
            raise _missing(needed, "any more")
        return {secret.name: self._open(secret) for secret in found}

    async def of_source(self, project_id: UUID) -> GitCredentials:
        """What opens a project's repository; empty when it has no such secrets.

        Raises:
            DependencyError: one cannot be opened with the keys at hand.
        """
        async with transaction(self._sessions) as session:
            found = await SecretRepository(session, PLATFORM).for_source(project_id)
        token = found.get(SecretKind.GIT_HTTPS_TOKEN)
        opened = {kind: self._open(secret) for kind, secret in found.items()}
        user, password = split_token(opened[SecretKind.GIT_HTTPS_TOKEN]) if token else ("", "")
        return GitCredentials(
            token_host=(token.host or "") if token else "",
            user=user,
            token=password,
            ssh_key=opened.get(SecretKind.GIT_SSH_KEY, ""),
            known_hosts=opened.get(SecretKind.SSH_KNOWN_HOSTS, ""),
        )

    def _open(self, secret: Secret) -> str:
        return self._sealer.open(secret.sealed_value, secret_context(secret.id)).decode()


def _missing(names: Sequence[str], where: str) -> TerminalError:
    words = f"secret {names[0]}" if len(names) == 1 else f"secrets {', '.join(names)}"
    return TerminalError(
        f"the service needs the {words}, which the project does not have {where}; add what is missing with "
        "POST /projects/{project_id}/secrets, or take it out of service.secrets in delivery.yaml",
        code=ErrorCode.SECRET_MISSING,
        details={"secrets": list(names)},
    )
