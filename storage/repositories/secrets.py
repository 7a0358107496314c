"""Secrets of projects, in encrypted form."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, or_, select

from domain.errors import ConflictError, ErrorCode, ForbiddenError, NotFoundError
from domain.secrets import MAX_SECRETS, MAX_TOTAL, ONE_OF_A_KIND, SecretKind
from storage.models import Secret
from storage.repositories.base import Page, PageRequest, Repository

# The overhead of an encrypted value: version, key id, nonce, tag.
SEAL = 1 + 8 + 12 + 16


class SecretRepository(Repository[Secret]):
    """Secrets by project."""

    model = Secret
    noun = "secret"

    async def search(
        self, project_id: UUID, *, kind: str | None, environment: str | None, request: PageRequest
    ) -> Page[Secret]:
        """A project's secrets, by kind and by their own environment."""
        statement = self.base().where(Secret.project_id == project_id)
        if kind is not None:
            statement = statement.where(Secret.kind == kind)
        if environment is not None:
            statement = statement.where(Secret.environment == environment)
        return await self.page(statement, request)

    async def of_project(self, project_id: UUID, secret_id: UUID, *, lock: bool = False) -> Secret:
        """One of a project's secrets.

        Raises:
            NotFoundError: the project has none with this id.
        """
        found = await self.get(secret_id, lock=lock)
        if found.project_id != project_id:
            raise NotFoundError(f"the project has no secret {secret_id}")
        return found

    async def check_unused(self, project_id: UUID, *, kind: str, name: str, environment: str | None) -> None:
        """Check that a project may have another secret with that name; the caller has locked its row.

        Raises:
            ConflictError: DUPLICATE_RESOURCE, naming the existing one.
        """
        same_name = (Secret.name == name) & Secret.environment.is_not_distinct_from(environment)
        clash = or_(same_name, Secret.kind == kind) if SecretKind(kind) in ONE_OF_A_KIND else same_name
        found = await self.session.scalar(self.base().where(Secret.project_id == project_id, clash).limit(1))
        if found is not None:
            raise ConflictError(
                f"the project has the {found.kind} {found.name} already; change that one, or delete it first",
                code=ErrorCode.DUPLICATE_RESOURCE,
                details={"secret_id": str(found.id), "name": found.name},
            )

    async def check_room(self, project_id: UUID) -> None:
        """Check that a project's secrets, including those just written, are within the limits of number and size.

        Raises:
            ForbiddenError: QUOTA_EXCEEDED.
        """
        variables = func.sum(func.octet_length(Secret.sealed_value) - SEAL).filter(
            Secret.kind == SecretKind.SERVICE_ENV
        )
        statement = select(func.count(), func.coalesce(variables, 0)).where(Secret.project_id == project_id)
        count, size = (await self.session.execute(statement)).one()
        if count > MAX_SECRETS:
            raise _full("max_secrets", f"the project has {MAX_SECRETS} secrets; delete one first", MAX_SECRETS)
        if size > MAX_TOTAL:
            words = f"all variables of the project's services together are larger than {MAX_TOTAL // 1024} KiB"
            raise _full("max_secret_bytes", f"{words}; a service could not be started with them", MAX_TOTAL)

    async def for_service(self, project_id: UUID, environment: str) -> Sequence[Secret]:
        """The variables of a project's service in an environment, by name; the environment's own take precedence."""
        statement = self.base().where(
            Secret.project_id == project_id,
            Secret.kind == SecretKind.SERVICE_ENV,
            or_(Secret.environment.is_(None), Secret.environment == environment),
        )
        found = await self.session.scalars(statement.order_by(Secret.name, Secret.environment.nulls_first()))
        return list({row.name: row for row in found}.values())

    async def all_of(self, project_id: UUID) -> Sequence[Secret]:
        """All of a project's secrets."""
        return list(await self.session.scalars(self.base().where(Secret.project_id == project_id).order_by(Secret.id)))

    async def for_source(self, project_id: UUID) -> dict[str, Secret]:
        """The credentials for a project's repository, by kind."""
        found = await self.session.scalars(
            self.base().where(Secret.project_id == project_id, Secret.kind.in_(ONE_OF_A_KIND))
        )
        return {row.kind: row for row in found}


def _full(quota: str, message: str, limit: int) -> ForbiddenError:
    return ForbiddenError(message, code=ErrorCode.QUOTA_EXCEEDED, details={"quota": quota, "limit": limit})
