"""Deleting and restoring a project. Deletion is soft: it stays readable, but nothing runs or changes."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.principal import Principal
from api.http.preconditions import Condition
from api.services import audited_writes
from api.services.audit import row_entry
from api.services.deployments.rollback import invalid_state
from api.services.environments.settings import decides_alone
from api.services.organizations.status import refuse_inactive
from api.services.projects.views import project_view
from domain.audit import difference
from domain.errors import ConflictError
from domain.projects import ProjectStatus
from storage.models import Operation, Project
from storage.repositories.audit import AuditRepository
from storage.repositories.environments import EnvironmentRepository
from storage.repositories.organizations import OrganizationRepository
from storage.repositories.project_removal import ProjectRemovalRepository
from storage.repositories.projects import ProjectRepository

MAX_NAMED = 20


@dataclass(frozen=True)
class Removal:
    """One person's wish that a project be no more, or be again."""

    principal: Principal
    project_id: UUID

    async def delete(self, session: AsyncSession, precondition: Condition) -> None:
        """Delete it, and end what runs, in the caller's transaction; a deleted one stays as it is.

        Raises:
            NotFoundError: no such project.
            PreconditionFailedError: it is another one than the caller has seen.
            ConflictError: CONFLICT, naming the operations that are not finished, or the environments that are
                protected by an approval rule.
        """
        project = await ProjectRepository(session, self.principal.tenant).get(self.project_id, lock=True)
        if project.status == ProjectStatus.DELETED:
            return
        precondition.check(await project_view(session, project))
        rows = ProjectRemovalRepository(session)
        await self._check_unprotected(session)
        _check_idle(await rows.unfinished(project.id, limit=MAX_NAMED + 1))
        ended = await rows.end_services(project.id)
        await audited_writes.change(
            session,
            project,
            {"status": ProjectStatus.DELETED},
            action="deleted",
            slug=project.slug,
            ended_releases=[str(one) for one in ended],
        )

    async def _check_unprotected(self, session: AsyncSession) -> None:
        """Deleting a project, and making it anew without the rule, must be no way around an approval rule."""
        environments = await EnvironmentRepository(session, self.principal.tenant).of_project(self.project_id)
        held = [name for name, row in environments.items() if not await decides_alone(session, self.principal, row)]
        if held:
            raise ConflictError(
                f"deployments to {', '.join(held)} need somebody else's approval, so deleting the project does too; "
                "take the approval rule off first (others approve that), or ask a platform admin",
                details={"environments": held},
            )

    async def restore(self, session: AsyncSession) -> Project:
        """Make a deleted one active again, in the caller's transaction. No service comes back by itself.

        Raises:
            NotFoundError: no such project.
            ForbiddenError: QUOTA_EXCEEDED, the organization has no room for it; ORGANIZATION_NOT_ACTIVE.
            ConflictError: INVALID_STATE, it is not deleted; DUPLICATE_SLUG, its slug is another project's by now.
        """
        projects = ProjectRepository(session, self.principal.tenant)
        found = await projects.get(self.project_id)
        # In this order, as when one is created: two requests cannot both take the last place or the slug.
        organization = await OrganizationRepository(session, self.principal.tenant).get(
            found.organization_id, lock=True
        )
        refuse_inactive(organization)
        project = await projects.get(self.project_id, lock=True)
        if project.status != ProjectStatus.DELETED:
            raise invalid_state(f"the project is {project.status}; only a deleted one can be restored", project.status)
        await projects.check_quota(organization)
        await ProjectRemovalRepository(session).bring_back(project, ProjectStatus.ACTIVE)
        await session.refresh(project)
        moved = difference({"status": ProjectStatus.DELETED}, {"status": project.status})
        entry = row_entry(project, "restored", changes=moved, details={"slug": project.slug})
        await AuditRepository(session, self.principal.tenant).write(entry)
        return project


def _check_idle(running: Sequence[Operation]) -> None:
    if not running:
        return
    named = running[:MAX_NAMED]
    words = ", ".join(f"{one.id} ({one.kind} in {one.environment}, {one.status})" for one in named)
    more = " and more" if len(running) > MAX_NAMED else ""
    raise ConflictError(
        f"operations of the project are not finished: {words}{more}; wait for them or cancel them, then delete it",
        details={"operation_ids": [str(one.id) for one in named]},
    )
