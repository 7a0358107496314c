"""The environment's turn: messages to its entity workflow."""

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.service import RPCError, RPCStatusCode

from activities.failures import reported
from contracts.names import (
    CONTROL_QUEUE,
    ENVIRONMENT,
    ORGANIZATION,
    PROJECT,
    SignalName,
    WorkflowName,
    environment_workflow_id,
)
from contracts.payload import Nothing
from contracts.rollouts import (
    CHECK_HOLDER,
    REQUEST_TURN,
    RETURN_TURN,
    EnvironmentNames,
    EnvironmentState,
    HolderCheck,
    HolderState,
    TurnRequest,
    TurnReturn,
)
from contracts.stubs import implements
from storage.engine import Sessions, transaction
from storage.repositories.releases import ReleaseRepository


class EnvironmentActivities:
    """Signals with start: the entity exists from the first message on."""

    def __init__(self, sessions: Sessions, client: Client) -> None:
        self._sessions = sessions
        self._client = client

    @implements(REQUEST_TURN)
    @reported
    async def request_turn(self, request: TurnRequest) -> Nothing:
        await self._tell(SignalName.REQUEST_TURN, request)
        return Nothing()

    @implements(RETURN_TURN)
    @reported
    async def return_turn(self, request: TurnReturn) -> Nothing:
        async with transaction(self._sessions) as session:
            await ReleaseRepository(session).let_go(request.environment_id, request.deployment_id)
        await self._tell(SignalName.RETURN_TURN, request)
        return Nothing()

    @implements(CHECK_HOLDER)
    @reported
    async def check_holder(self, request: HolderCheck) -> HolderState:
        try:
            seen = await self._client.get_workflow_handle(request.workflow_id).describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return HolderState(running=False)
            raise
        return HolderState(running=seen.status is WorkflowExecutionStatus.RUNNING)

    async def _tell(self, signal: SignalName, message: TurnRequest | TurnReturn) -> None:
        state = EnvironmentState(
            environment_id=message.environment_id,
            organization_slug=message.organization_slug,
            project_slug=message.project_slug,
            environment=message.environment,
        )
        await self._client.start_workflow(
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
