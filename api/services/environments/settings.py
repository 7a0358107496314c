"""Environments for the API: where they are reached, what is set for them, what a request there has to respect."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.principal import Principal
from api.schemas.environments import EnvironmentPatch, EnvironmentView, LockView
from api.schemas.views import environment_view
from api.services import audited_writes
from api.services.audit import row_entry
from api.services.environments.approvers import can_be_met
from api.services.humans import person_of
from api.services.projects.lookup import refuse_deleted
from contracts.names import SignalName
from contracts.rollouts import SettingsChanged
from domain.approvals import ApprovalPolicy, is_approved
from domain.audit import difference
from domain.deployment_lock import TurnPolicy
from domain.environment_settings import EnvironmentSettings, GuardChangeStatus, protection_of, weakened
from domain.errors import ConflictError, UnprocessableError
from domain.lifecycle import EnvironmentName
from domain.permissions import Scope
from domain.windows import window_state
from runtime.ids import new_id, now
from runtime.settings import Settings
from storage.models import Environment, GuardChange, Organization, Project
from storage.repositories.audit import AuditRepository
from storage.repositories.deployments import DeploymentRepository
from storage.repositories.environments import EnvironmentRepository, ReleaseDetails
from storage.repositories.guard_changes import GuardChangeRepository
from storage.repositories.operations import OperationRepository
from storage.repositories.organizations import OrganizationRepository
from storage.repositories.outbox import OutboxRepository
from storage.repositories.projects import ProjectRepository

MAX_HISTORY = 10
MAX_PENDING = 20
# After that the reason of the change is out of date.
CHANGE_WAITS = timedelta(days=7)


def environment_host(settings: Settings, organization: Organization, project: Project, name: EnvironmentName) -> str:
    """`{environment}.{project}.{organization}.{suffix}`; stored when the environment is made, and then for ever."""
    return f"{name}.{project.host_label}.{organization.host_label}.{settings.host_suffix}"


def settings_of(row: Environment | None) -> EnvironmentSettings:
    """What is set for an environment; the defaults for one that was not made yet."""
    return EnvironmentSettings.stored(row.settings if row else {})


def approval_of(settings: EnvironmentSettings) -> ApprovalPolicy | None:
    """The approval policy of the environment; None if it requires no approval."""
    return protection_of(settings)


async def made_environment(
    environments: EnvironmentRepository, project: Project, name: EnvironmentName, host: str
) -> Environment:
    """The environment, made now unless it exists."""
    wanted = new_id()
    row = await environments.get_or_create(wanted, project, name, host)
    if row.id == wanted:
        await audited_writes.added(environments.session, row)
    return row


async def check_environment(
    session: AsyncSession, principal: Principal, environment: Environment, project: Project, *, override_freeze: bool
) -> None:
    """Whether one more deployment may be asked for. Lock the project's row before: requests must follow each other.

    Raises:
        ForbiddenError: overriding a freeze needs `deployments:approve`.
        ConflictError: CONFLICT, the environment is busy and its policy is `reject`; names the holder.
    """
    if override_freeze:
        principal.require(Scope.DEPLOYMENTS_APPROVE)
    if settings_of(environment).policy is not TurnPolicy.REJECT:
        return
    busy = await EnvironmentRepository(session, principal.tenant).unfinished([environment.id])
    if not busy:
        return
    holder = next((turn for turn in busy if turn.deployment.id == environment.holder_deployment_id), busy[0])
    version = f" (version {holder.version_tag})" if holder.version_tag else ""
    raise ConflictError(
        f"{environment.name} of {project.slug} is busy with deployment {holder.deployment.id}{version}, operation "
        f"{holder.operation.id}, and its policy is reject; this one would be number {len(busy)} in the queue",
        details={
            "deployment_id": str(holder.deployment.id),
            "operation_id": str(holder.operation.id),
            "version_tag": holder.version_tag,
            "position": len(busy),
        },
    )


async def environment_views(
    session: AsyncSession,
    settings: Settings,
    principal: Principal,
    project_id: UUID,
    names: tuple[EnvironmentName, ...],
) -> list[EnvironmentView]:
    """Environments of a project as they are now; raises `NotFoundError` for a project that is not there."""
    project = await ProjectRepository(session, principal.tenant).get(project_id)
    organization = await OrganizationRepository(session, principal.tenant).get(project.organization_id)
    environments = EnvironmentRepository(session, principal.tenant)
    made = await environments.of_project(project_id)
    ids = [row.id for row in made.values()]
    releases = await environments.releases_of(ids, MAX_HISTORY) if ids else {}
    turns = await environments.unfinished(ids) if ids else []
    views = []
    for name in names:
        row = made.get(name)
        view = environment_view(
            settings=settings,
            project_id=project_id,
            name=name,
            host=row.host if row else environment_host(settings, organization, project, name),
            row=row,
            own=settings_of(row),
            releases=releases,
            history=_history(row, releases) if row else [],
            lock=await _lock(session, principal, row) if row else None,
            turns=[turn for turn in turns if row and turn.deployment.environment_id == row.id],
            moment=now(),
        )
        views.append(view)
    return views


def _history(row: Environment, releases: Mapping[UUID, ReleaseDetails]) -> list[ReleaseDetails]:
    """What went live there, the last ones, newest first."""
    own = [found for found in releases.values() if found.release.environment_id == row.id and found.release.promoted_at]
    own.sort(key=lambda found: (found.release.promoted_at, found.release.id), reverse=True)
    return own[:MAX_HISTORY]


async def _lock(session: AsyncSession, principal: Principal, row: Environment) -> LockView | None:
    """Who holds the lock; it may have finished already, and give it back in a moment."""
    if row.holder_deployment_id is None:
        return None
    deployment = await DeploymentRepository(session, principal.tenant).get(row.holder_deployment_id)
    operation_id = deployment.rollback_operation_id or deployment.operation_id
    operation = await OperationRepository(session, principal.tenant).get(operation_id)
    return LockView(
        deployment_id=deployment.id, operation_id=operation.id, version_tag=operation.input.get("version_tag")
    )


@dataclass(frozen=True)
class SettingsChange:
    """One person's change of an environment's settings."""

    settings: Settings
    principal: Principal
    project_id: UUID
    name: EnvironmentName
    patch: EnvironmentPatch

    async def carry_out(self, session: AsyncSession) -> GuardChange | None:
        """Write settings, audit entry and the message to those who wait, in the caller's transaction.

        Returns:
            None: it is done. Else it weakens a guard, and waits for the approvals that the rule in force asks for.

        Raises:
            NotFoundError: no such project.
            ConflictError: INVALID_STATE, it is deleted; CONFLICT, too many changes wait already.
            UnprocessableError: windows that never open; approvals that cannot be given.
        """
        project = await ProjectRepository(session, self.principal.tenant).get(self.project_id)
        refuse_deleted(project)
        organization = await OrganizationRepository(session, self.principal.tenant).get(project.organization_id)
        environments = EnvironmentRepository(session, self.principal.tenant)
        host = environment_host(self.settings, organization, project, self.name)
        made = await made_environment(environments, project, self.name, host)
        row = await environments.get(made.id, lock=True)
        before = settings_of(row)
        after = before.changed(self.patch.changes())
        if after == before:
            return None
        _check_opens(after)
        if not self.principal.is_platform_admin and not await can_be_met(
            session, self.settings, row.organization_id, before, after
        ):
            # Whether there are so many people shows when they approve it.
            return await self._ask(session, row, before, weakened(before, after), by=protection_of(after))
        loosened = weakened(before, after)
        if loosened and not await decides_alone(session, self.principal, row):
            return await self._ask(session, row, before, loosened)
        await apply_settings(session, self.principal, row, after)
        return None

    async def _ask(
        self,
        session: AsyncSession,
        row: Environment,
        before: EnvironmentSettings,
        loosened: tuple[str, ...],
        *,
        by: ApprovalPolicy | None = None,
    ) -> GuardChange:
        """The guarded cannot change the guard alone: keep the change for others to approve.

        `by`: what besides the rule in force has to be satisfied.
        """
        changes_wanted = GuardChangeRepository(session, self.principal.tenant)
        if await changes_wanted.count_pending(row.id, now()) >= MAX_PENDING:
            raise ConflictError(
                f"{MAX_PENDING} changes of {row.name} wait for approval already; have them approved or rejected first"
            )
        rule = (protection_of(before) or by or ApprovalPolicy()).stricter(by)
        requester = await person_of(session, self.principal, row.organization_id)
        own = [] if rule.four_eyes or requester.unknown else [requester.model_dump(mode="json")]
        given = self.patch.model_dump(mode="json", exclude_unset=True)
        wanted = await changes_wanted.add(
            GuardChange(
                id=new_id(),
                organization_id=row.organization_id,
                project_id=row.project_id,
                environment_id=row.id,
                changes=given,
                weakens=list(loosened),
                rule=rule.model_dump(mode="json"),
                requester=requester.model_dump(mode="json"),
                approvals=own,
                status=GuardChangeStatus.PENDING,
                requested_by=self.principal.subject,
                expires_at=now() + CHANGE_WAITS,
            )
        )
        details = {"change_id": str(wanted.id), "weakens": list(loosened)}
        changed = difference(before.model_dump(mode="json"), {**before.model_dump(mode="json"), **given})
        entry = row_entry(row, "change_requested", changes=changed, details=details)
        await AuditRepository(session, self.principal.tenant).write(entry)
        return wanted


async def decides_alone(session: AsyncSession, principal: Principal, row: Environment) -> bool:
    """Whether one person may loosen the guards alone, by the environment's approval rule."""
    rule = protection_of(settings_of(row))
    if rule is None or principal.is_platform_admin:
        return True
    if not principal.may(Scope.DEPLOYMENTS_APPROVE) or principal.is_foreign_machine:
        return False
    person = await person_of(session, principal, row.organization_id)
    return is_approved(rule, [person], requested_by=person)


async def apply_settings(
    session: AsyncSession, principal: Principal, row: Environment, after: EnvironmentSettings, **facts: str
) -> None:
    """Write the settings of a locked environment, the audit entry, and the message to those who wait."""
    before = settings_of(row)
    project = await ProjectRepository(session, principal.tenant).get(row.project_id)
    organization = await OrganizationRepository(session, principal.tenant).get(row.organization_id)
    row.settings = {**row.settings, **after.model_dump(mode="json")}
    await session.flush()
    changed = difference(before.model_dump(mode="json"), after.model_dump(mode="json"))
    entry = row_entry(row, "settings_changed", changes=changed, details=facts)
    await AuditRepository(session, principal.tenant).write(entry)
    change = SettingsChanged(
        environment_id=row.id,
        policy=after.policy,
        environment=EnvironmentName(row.name),
        organization_slug=organization.slug,
        project_slug=project.slug,
    )
    await OutboxRepository(session).signal_workflow(
        new_id(),
        organization_id=row.organization_id,
        topic=SignalName.SETTINGS_CHANGED,
        resource_id=row.id,
        payload=change.model_dump(mode="json"),
    )
    await session.refresh(row)


def _check_opens(settings: EnvironmentSettings) -> None:
    if window_state(settings.windows, now()).next_open is None:
        raise UnprocessableError(
            "with these windows no deployment could start within two years; let an allow window occur outside of the "
            "deny windows",
            details={"field": "windows"},
        )
