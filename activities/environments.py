"""The environment's lock: messages to its entity workflow."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity
from temporalio.client import WorkflowExecutionStatus
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.service import RPCError, RPCStatusCode

from activities.failures import translate_errors
from activities.records import environment_of
from contracts.names import (
    CONTROL_QUEUE,
    ENVIRONMENT,
    ORGANIZATION,
    PROJECT,
    SignalName,
    WorkflowName,
    environment_workflow_id,
    operation_of,
)
from contracts.payload import Nothing, bounded
from contracts.rollouts import (
    CHECK_HOLDER,
    CHECK_WINDOW,
    REQUEST_TURN,
    RETURN_TURN,
    EnvironmentNames,
    EnvironmentState,
    HolderCheck,
    HolderState,
    LockRelease,
    LockRequest,
    ReleaseName,
    WindowAnswer,
    WindowQuery,
)
from contracts.stubs import implements
from domain.environment_settings import EnvironmentSettings
from domain.windows import window_state
from runtime.ids import now
from storage.engine import Sessions, transaction
from storage.repositories.environments import EnvironmentRepository
from storage.repositories.releases import ReleaseRepository
from storage.repositories.standing import StandingRepository
from storage.tenancy import PLATFORM


class EnvironmentActivities:
    """Signals with start: the entity exists from the first message on."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    @implements(REQUEST_TURN)
    @translate_errors
    async def request_turn(self, request: LockRequest) -> Nothing:
        settings = await self._settings(request.environment_id)
        await self._tell(SignalName.REQUEST_TURN, request.model_copy(update={"policy": settings.policy}))
        return Nothing()

    @implements(RETURN_TURN)
    @translate_errors
    async def return_turn(self, request: LockRelease) -> Nothing:
        async with transaction(self._sessions) as session:
            await ReleaseRepository(session).let_go(request.environment_id, request.deployment_id)
            serving = await self._serving(session, request.environment_id)
        await self._tell(SignalName.RETURN_TURN, request.model_copy(update=serving))
        return Nothing()

    @implements(CHECK_WINDOW)
    @translate_errors
    async def check_window(self, request: WindowQuery) -> WindowAnswer:
        """Judged here and not in the workflow: time zones differ from machine to machine and from year to year."""
        settings = await self._settings(request.environment_id)
        state = window_state(settings.windows, now())
        return WindowAnswer(open=state.open, reason=state.reason, next_open=state.next_open, policy=settings.policy)

    @implements(CHECK_HOLDER)
    @translate_errors
    async def check_holder(self, request: HolderCheck) -> HolderState:
        if not await self._is_open(request.workflow_id):
            return HolderState(running=False)
        try:
            seen = await activity.client().get_workflow_handle(request.workflow_id).describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return HolderState(running=False)
            raise
        return HolderState(running=seen.status is WorkflowExecutionStatus.RUNNING)

    async def _is_open(self, workflow_id: str) -> bool:
        """The record wins: only an unfinished operation of the environment can hold its lock.

        A client of Temporal can ask for the lock in the name of any workflow, its own or that of another environment.
        """
        operation_id, environment_id = operation_of(workflow_id), environment_of(activity.info().workflow_id)
        if operation_id is None or environment_id is None:
            return False
        async with transaction(self._sessions) as session:
            return await StandingRepository(session).is_open_in(environment_id, operation_id, workflow_id)

    async def _settings(self, environment_id: UUID) -> EnvironmentSettings:
        async with transaction(self._sessions) as session:
            row = await ReleaseRepository(session).environment(environment_id)
        return EnvironmentSettings.stored(row.settings)

    @staticmethod
    async def _serving(session: AsyncSession, environment_id: UUID) -> dict[str, ReleaseName]:
        row = await ReleaseRepository(session).environment(environment_id)
        ids = {"current": row.current_release_id, "previous": row.previous_release_id}
        releases = await EnvironmentRepository(session, PLATFORM).releases([found for found in ids.values() if found])
        return {
            name: ReleaseName(release_id=found, version=bounded(releases[found].build.version_tag, 255))
            for name, found in ids.items()
            if found in releases
        }

    async def _tell(self, signal: SignalName, message: LockRequest | LockRelease) -> None:
        state = EnvironmentState(
            environment_id=message.environment_id,
            organization_slug=message.organization_slug,
            project_slug=message.project_slug,
            environment=message.environment,
        )
        await activity.client().start_workflow(
            WorkflowName.ENVIRONMENT,
            state,
            id=environment_workflow_id(state.environment_id),
            task_queue=CONTROL_QUEUE,
            start_signal=signal,
            start_signal_args=[message],
            search_attributes=_attributes(state),
            static_summary=f"Environment {state.label or state.environment_id}",
            static_details="Gives out the environment's turn to one rollout at a time; stops retired releases in time.",
        )


def _attributes(names: EnvironmentNames) -> TypedSearchAttributes:
    pairs = ((ORGANIZATION, names.organization_slug), (PROJECT, names.project_slug), (ENVIRONMENT, names.environment))
    return TypedSearchAttributes([SearchAttributePair(key, value) for key, value in pairs if value])
