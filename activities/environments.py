"""The environment's turn: messages to its entity workflow."""

from uuid import UUID

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from activities.failures import reported
from contracts.names import CONTROL_QUEUE, SignalName, WorkflowName, environment_workflow_id
from contracts.payload import Nothing, Payload
from contracts.rollouts import (
    CHECK_HOLDER,
    REQUEST_TURN,
    RETURN_TURN,
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
        await self._tell(request.environment_id, SignalName.REQUEST_TURN, request)
        return Nothing()

    @implements(RETURN_TURN)
    @reported
    async def return_turn(self, request: TurnReturn) -> Nothing:
        async with transaction(self._sessions) as session:
            await ReleaseRepository(session).let_go(request.environment_id, request.deployment_id)
        await self._tell(request.environment_id, SignalName.RETURN_TURN, request)
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

    async def _tell(self, environment_id: UUID, signal: SignalName, message: Payload) -> None:
        state = EnvironmentState(environment_id=environment_id)
        await self._client.start_workflow(
            WorkflowName.ENVIRONMENT,
            state,
            id=environment_workflow_id(state.environment_id),
            task_queue=CONTROL_QUEUE,
            start_signal=signal,
            start_signal_args=[message],
            static_summary=f"environment {environment_id}",
        )
