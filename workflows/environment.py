"""The entity of one environment: grants its lock to one rollout at a time, and stops retired releases in time.

The queue is first in, first out, with rollbacks first: a rollout under way is undone for a rollback, unless it is past
its final switch. A closed window holds the next rollout in the queue, never one that is under way.
"""

from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

from contracts.names import SignalName, WorkflowName
from contracts.payload import Payload, bounded
from contracts.rollouts import (
    CHECK_HOLDER,
    CHECK_WINDOW,
    STOP_RELEASE,
    EnvironmentNames,
    EnvironmentState,
    HolderCheck,
    LockGrant,
    LockQueued,
    LockRelease,
    LockRequest,
    LockSuperseded,
    RetiredRelease,
    SettingsChanged,
    StopRelease,
    WindowAnswer,
    WindowQuery,
)
from domain.deployment_lock import TurnPolicy, enqueued, is_ahead, passes_freeze, replaces
from workflows.activity_calls import call
from workflows.ui_details import environment_details

# A holder that was terminated or lost never releases the lock, so its status is checked at this interval.
HOLDER_CHECK_EVERY = timedelta(seconds=20)

# Settings that could not be read are read again after a minute; windows whose end is not known after a month.
ASK_AGAIN = timedelta(minutes=1)
FAR = timedelta(days=30)

CLOCK_PATCH = "clock-set-back"


@workflow.defn(name=WorkflowName.ENVIRONMENT)
class EnvironmentWorkflow:
    """Started by the first request for the lock. It never ends, and continues as new when its history has grown."""

    @workflow.init
    def __init__(self, state: EnvironmentState) -> None:
        self._id = state.environment_id
        self._names = state.model_dump(include=set(EnvironmentNames.model_fields))
        self._holder = state.holder
        self._waiting = list(state.waiting)
        self._retired = list(state.retired)
        self._policy = state.policy
        self._newest = state.newest
        self._superseded = list(state.superseded)
        self._window: WindowAnswer | None = None  # set while a closed window holds the next one
        self._recheck_window = True
        self._current, self._previous = state.current, state.previous
        self._holder_notified = False
        self._positions: dict[str, LockQueued] = {}
        self._changed = True

    @workflow.signal(name=SignalName.REQUEST_TURN)
    def request_turn(self, request: LockRequest) -> None:
        """Queue a request. A repeated request changes nothing, and its answer is sent again in case it was lost."""
        self._changed = True
        self._positions.pop(request.workflow_id, None)
        if self._holds(request.workflow_id):
            self._holder_notified = False
        elif not any(w.workflow_id == request.workflow_id for w in self._waiting):
            self._admit(request)

    @workflow.signal(name=SignalName.RETURN_TURN)
    def return_turn(self, back: LockRelease) -> None:
        """The holder is finished, or a waiting one gave up."""
        self._waiting = [w for w in self._waiting if w.workflow_id != back.workflow_id]
        self._positions.pop(back.workflow_id, None)
        if self._holds(back.workflow_id):
            self._holder = None
        known = {r.release_id for r in back.retired}
        self._retired = [r for r in self._retired if r.release_id not in known] + list(back.retired)
        self._current, self._previous = back.current or self._current, back.previous or self._previous
        self._changed = True

    @workflow.signal(name=SignalName.SETTINGS_CHANGED)
    def settings_changed(self, change: SettingsChanged) -> None:
        """Read the windows again: what was held may be allowed now, or the other way round."""
        self._policy = change.policy
        self._recheck_window = self._changed = True

    @workflow.query
    def state(self) -> EnvironmentState:
        """Who holds the lock, who waits and why, which releases are due to be stopped."""
        return EnvironmentState(
            environment_id=self._id,
            holder=self._holder,
            waiting=tuple(self._waiting),
            retired=tuple(self._retired),
            policy=self._policy,
            newest=self._newest,
            superseded=tuple(self._superseded),
            window=self._window,
            current=self._current,
            previous=self._previous,
            **self._names,
        )

    @workflow.run
    async def run(self, _state: EnvironmentState) -> None:
        while not workflow.info().is_continue_as_new_suggested():
            self._changed = False
            await self._notify_superseded()
            await self._grant()
            await self._notify_waiting()
            await self._stop_due()
            await self._wait()
        await workflow.wait_condition(workflow.all_handlers_finished)
        workflow.continue_as_new(self.state())

    def _admit(self, request: LockRequest) -> None:
        """Add to the queue; under `supersede` the newest replaces all older ones."""
        self._policy = request.policy
        supersede = request.policy is TurnPolicy.SUPERSEDE
        self._forget_ahead()
        if supersede and self._newest is not None and replaces(self._newest, request):
            self._supersede(request, self._newest)
            return
        if self._newest is None or replaces(request, self._newest):
            self._newest = None if request.urgent else request
        if request.urgent and self._holder and not self._holder.urgent:
            # Users get a bad version now, so a rollback does not wait for a canary or for a paused rollout.
            self._supersede(self._holder, request)
        if supersede:
            for older in [one for one in (self._holder, *self._waiting) if one and replaces(request, one)]:
                self._supersede(older, request)
        self._waiting = enqueued(self._waiting, request)
        self._recheck_window = True

    def _forget_ahead(self) -> None:
        """Drop a newest time ahead of a clock that was set back: it would refuse every request until then."""
        newest = self._newest
        if newest is not None and is_ahead(newest, workflow.now()) and workflow.patched(CLOCK_PATCH):
            self._newest = None

    def _supersede(self, older: LockRequest, newer: LockRequest) -> None:
        """Remove it from the queue. A holder of the lock decides by itself, and releases the lock when it is undone."""
        self._waiting = [w for w in self._waiting if w.workflow_id != older.workflow_id]
        self._positions.pop(older.workflow_id, None)
        self._superseded.append(
            LockSuperseded(
                workflow_id=older.workflow_id, deployment_id=newer.deployment_id, version=bounded(newer.purpose, 255)
            )
        )

    def _holds(self, workflow_id: str) -> bool:
        return self._holder is not None and self._holder.workflow_id == workflow_id

    async def _notify_superseded(self) -> None:
        while self._superseded:
            message = self._superseded[0]
            await self._signal(message.workflow_id, SignalName.SUPERSEDE, message)
            self._superseded.remove(message)

    async def _grant(self) -> None:
        """Notify the holder, or the next in the queue; a workflow that is closed is skipped."""
        if self._holder is None:
            self._holder = await self._next()
            self._holder_notified = False
        if self._holder is None or self._holder_notified:
            return
        holder = self._holder
        grant = LockGrant(environment_id=self._id, workflow_id=holder.workflow_id)
        self._holder_notified = True  # before the signal is sent: a request that comes meanwhile has it sent again
        if not await self._signal(holder.workflow_id, SignalName.TURN_GRANTED, grant):
            self._drop(holder)

    async def _next(self) -> LockRequest | None:
        """Take the first that no closed window holds out of the queue."""
        is_open = not self._waiting or passes_freeze(self._waiting[0]) or await self._is_open()
        for one in self._waiting:
            if is_open or passes_freeze(one):
                self._waiting.remove(one)
                return one
        return None

    async def _is_open(self) -> bool:
        """Whether deploying is possible. A closed window is checked again when it ends, or when the settings change."""
        held = self._window
        if held and not self._recheck_window and (held.next_open is None or workflow.now() < held.next_open):
            return False
        answer = None
        while self._recheck_window or answer is None:
            self._recheck_window = False
            answer = await self._ask_window()
        self._window = None if answer.open else answer
        return answer.open

    async def _ask_window(self) -> WindowAnswer:
        try:
            return await call(CHECK_WINDOW, WindowQuery(environment_id=self._id), summary="is deploying possible now?")
        except ActivityError:
            again = workflow.now() + ASK_AGAIN
            return WindowAnswer(open=False, reason="settings that cannot be read now", next_open=again)

    async def _notify_waiting(self) -> None:
        """Send the waiting ones their new positions; a workflow that is closed leaves the queue."""
        if not self._waiting:
            self._window = None
        holder = self._holder.deployment_id if self._holder else None
        held = self._window if holder is None else None
        for position, waiting in enumerate(list(self._waiting), 1):
            message = LockQueued(
                position=position,
                holder_deployment_id=holder,
                reason=held.reason if held else None,
                next_open=held.next_open if held else None,
            )
            if self._positions.get(waiting.workflow_id) != message:
                self._positions[waiting.workflow_id] = message
                if not await self._signal(waiting.workflow_id, SignalName.TURN_QUEUED, message):
                    self._waiting = [w for w in self._waiting if w.workflow_id != waiting.workflow_id]
                    self._changed = True

    async def _signal(self, workflow_id: str, name: SignalName, message: Payload) -> bool:
        """Signal a workflow; False: it is closed."""
        try:
            await workflow.get_external_workflow_handle(workflow_id).signal(name, message)
        except ApplicationError:
            return False
        return True

    def _drop(self, holder: LockRequest) -> None:
        if self._holder is holder:
            self._holder = None
        self._changed = True

    async def _stop_due(self) -> None:
        """Stop what is due. The lock is not granted meanwhile: a rollback may need the very release."""
        now = workflow.now()
        for retired in [r for r in self._retired if r.stop_after <= now]:
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
                lambda: self._changed, timeout=self._next_check(), timeout_summary="until somebody has to look"
            )
        except TimeoutError:
            await self._check_holder()

    def _next_check(self) -> timedelta | None:
        """Time until the next check; None: until the next signal."""
        now = workflow.now()
        waits = [max(timedelta(milliseconds=1), r.stop_after - now) for r in self._retired]
        if self._holder is not None and self._waiting:
            waits.append(HOLDER_CHECK_EVERY)
        if self._holder is None and self._window is not None:
            # At least a second: the clock of the activity that judges the window may be behind.
            opens_in = self._window.next_open - now if self._window.next_open else FAR
            waits.append(min(max(timedelta(seconds=1), opens_in), FAR))
        return min(waits, default=None)

    async def _check_holder(self) -> None:
        holder = self._holder
        if holder is None or not self._waiting:
            return
        try:
            check = HolderCheck(workflow_id=holder.workflow_id)
            state = await call(CHECK_HOLDER, check, summary="is the holder alive?")
        except ActivityError:
            return  # not known now; the next check asks again
        if not state.running:
            self._drop(holder)
