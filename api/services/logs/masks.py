"""What must not be shown of a project's logs: the values of its secrets, in the newest version of each."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

from domain.masking import Masker
from domain.secrets import SecretKind
from runtime.encryption import Sealer
from runtime.single_flight import SharedAnswers
from storage.engine import Sessions, transaction
from storage.models import Secret
from storage.repositories.secrets import SecretRepository
from storage.sealed import secret_context
from storage.tenancy import PLATFORM

# A service that has a new value takes longer to start.
KEEP_S = 1.0
MAX_PROJECTS = 64
# Public: everybody may see it.
SHOWN = frozenset({SecretKind.SSH_KNOWN_HOSTS})


class Masks:
    """Maskers of projects; opening secrets is shared among all who read at the same moment."""

    def __init__(self, sessions: Sessions, sealer: Sealer) -> None:
        self._sessions = sessions
        self._sealer = sealer
        self._answers: SharedAnswers[UUID, Masker] = SharedAnswers(self._make, keep_s=KEEP_S, max_keys=MAX_PROJECTS)

    async def of(self, project_id: UUID) -> Masker:
        """The masker of a project.

        Raises:
            DependencyError: a secret cannot be opened with the keys at hand; then nothing must be shown.
        """
        return await self._answers.get(project_id)

    async def _make(self, project_id: UUID) -> Masker:
        async with transaction(self._sessions) as session:
            found = await SecretRepository(session, PLATFORM).all_of(project_id)
        return await asyncio.to_thread(self._masker, [row for row in found if row.kind not in SHOWN])

    def _masker(self, secrets: Sequence[Secret]) -> Masker:
        values = [self._sealer.open(row.sealed_value, secret_context(row.id)).decode() for row in secrets]
        # Of a git token that is `user:token` the second half opens as much.
        halves = [value.partition(":")[2] for value, row in zip(values, secrets, strict=True) if _is_pair(row)]
        return Masker([*values, *halves])


def _is_pair(secret: Secret) -> bool:
    return secret.kind == SecretKind.GIT_HTTPS_TOKEN
