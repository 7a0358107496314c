"""The entity of one environment: gives out its turn, one rollout at a time, and stops retired releases in time."""

from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

from contracts.names import SignalName, WorkflowName
from contracts.rollouts import (
    CHECK_HOLDER,
    STOP_RELEASE,
    EnvironmentNames,
    EnvironmentState,
    HolderCheck,
    RetiredRelease,
    StopRelease,
    TurnGrant,
    TurnQueued,
    TurnRequest,
    TurnReturn,
)
from workflows.calls import call
from workflows.details import environment_details

# A holder that was terminated or lost never gives its turn back; somebody has to look.
HOLDER_CHECK_EVERY = timedelta(seconds=20)


@workflow.defn(name=WorkflowName.ENVIRONMENT)
class EnvironmentWorkflow:
    """Started by the first request for a turn; lives on, continuing as new when its history has grown."""

    @workflow.init
    def __init__(self, state: EnvironmentState) -> None:
        self._id = state.environment_id
        self._names = state.model_dump(include=set(EnvironmentNames.model_fields))
        self._holder = state.holder
        self._waiting = list(state.waiting)
        self._retired = list(state.retired)
        self._told = False
        self._places: dict[str, TurnQueued] = {}
        self._changed = True

    @workflow.signal(name=SignalName.REQUEST_TURN)
    def request_turn(self, request: TurnRequest) -> None:
        """First in, first out; asking again changes nothing but has a lost grant told again."""
        known = any(w.workflow_id == request.workflow_id for w in self._waiting)
        if not known and not self._holds(request.workflow_id):
            self._enqueue(request)
        self._places.pop(request.workflow_id, None)
        self._told = False
        self._changed = True

    @workflow.signal(name=SignalName.RETURN_TURN)
    def return_turn(self, back: TurnReturn) -> None:
        """The holder is done (or a waiting one gave up)."""
        self._waiting = [w for w in self._waiting if w.workflow_id != back.workflow_id]
        self._places.pop(back.workflow_id, None)
        if self._holds(back.workflow_id):
            self._holder = None
        known = {r.release_id for r in back.retired}
        self._retired = [r for r in self._retired if r.release_id not in known] + list(back.retired)
        self._changed = True

    @workflow.query
    def state(self) -> EnvironmentState:
        """Who holds the turn, who waits, what is to be stopped."""
        return EnvironmentState(
            environment_id=self._id,
            holder=self._holder,
            waiting=tuple(self._waiting),
            retired=tuple(self._retired),
            **self._names,
        )

    @workflow.run
    async def run(self, _state: EnvironmentState) -> None:
        while not workflow.info().is_continue_as_new_suggested():
            self._changed = False
            await self._grant()
            await self._tell_places()
            await self._stop_due()
            await self._wait()
        await workflow.wait_condition(workflow.all_handlers_finished)
        workflow.continue_as_new(self.state())

    def _enqueue(self, request: TurnRequest) -> None:
        urgent = sum(1 for waiting in self._waiting if waiting.urgent)
        self._waiting.insert(urgent if request.urgent else len(self._waiting), request)

    def _holds(self, workflow_id: str) -> bool:
        return self._holder is not None and self._holder.workflow_id == workflow_id

    async def _grant(self) -> None:
        """Tell the holder, or the next in line; one that is no more is passed over."""
        if self._holder is None and self._waiting:
            self._holder = self._waiting.pop(0)
            self._told = False
        if self._holder is None or self._told:
            return
        holder = self._holder
        grant = TurnGrant(environment_id=self._id, workflow_id=holder.workflow_id)
        try:
            handle = workflow.get_external_workflow_handle(holder.workflow_id)
            await handle.signal(SignalName.TURN_GRANTED, grant)
            self._told = True
        except ApplicationError:
            self._drop(holder)

    async def _tell_places(self) -> None:
        """Everybody who waits learns of a new place; one that is no more leaves the queue."""
        holder = self._holder.deployment_id if self._holder else None
        for place, waiting in enumerate(list(self._waiting), 1):
            message = TurnQueued(position=place, holder_deployment_id=holder)
            if self._places.get(waiting.workflow_id) != message:
                self._places[waiting.workflow_id] = message
                await self._tell_place(waiting, message)

    async def _tell_place(self, waiting: TurnRequest, message: TurnQueued) -> None:
        try:
            handle = workflow.get_external_workflow_handle(waiting.workflow_id)
            await handle.signal(SignalName.TURN_QUEUED, message)
        except ApplicationError:
            self._waiting = [w for w in self._waiting if w.workflow_id != waiting.workflow_id]
            self._changed = True

    def _drop(self, holder: TurnRequest) -> None:
        if self._holder is holder:
            self._holder = None
        self._changed = True

    async def _stop_due(self) -> None:
        now = workflow.now()
        due = [r for r in self._retired if r.stop_after <= now]
        for retired in due:
            self._retired.remove(retired)
            await self._stop_release(retired)

    async def _stop_release(self, retired: RetiredRelease) -> None:
        request = StopRelease(release_id=retired.release_id, only_if_retired=True)
        try:
            await call(STOP_RELEASE, request, summary=f"stop the retired release {retired.release_id}")
        except ActivityError:
            again = workflow.now() + HOLDER_CHECK_EVERY
            self._retired.append(retired.model_copy(update={"stop_after": again}))

    async def _wait(self) -> None:
        workflow.set_current_details(environment_details(self.state()))
        try:
            await workflow.wait_condition(
                lambda: self._changed, timeout=self._next_look(), timeout_summary="until somebody has to look"
            )
        except TimeoutError:
            await self._look_after_holder()

    def _next_look(self) -> timedelta | None:
        """Until when nothing has to be done; None: until somebody signals."""
        waits = [max(timedelta(milliseconds=1), r.stop_after - workflow.now()) for r in self._retired]
        if self._holder is not None and self._waiting:
            waits.append(HOLDER_CHECK_EVERY)
        return min(waits, default=None)

    async def _look_after_holder(self) -> None:
        holder = self._holder
        if holder is None or not self._waiting:
            return
        state = await call(CHECK_HOLDER, HolderCheck(workflow_id=holder.workflow_id), summary="is the holder alive?")
        if not state.running:
            self._drop(holder)
