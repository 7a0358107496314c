"""The schedule by which Temporal starts re-scans of what is live."""

from datetime import timedelta
from typing import Final

from temporalio.client import (
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleDescription,
    ScheduleHandle,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleState,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCError

from contracts.names import CONTROL_QUEUE, RESCAN_WORKFLOW, WorkflowName
from contracts.rescans import RescanOrder
from domain.errors import ConflictError
from orchestration.connection import Connection, answering_within, is_missing

LIMIT_S: Final = 10.0
# Of a run that nobody carries on; the next one begins anew.
LONGEST: Final = timedelta(days=2)
# Pauses of ours have this note; one that a person makes in Temporal's UI stays.
OFF: Final = "off: DELIVERY_RESCAN_HOURS is 0"
# While it is off it has an interval all the same.
ANY: Final = timedelta(days=1)


class Rescans:
    """Sees to the schedule."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def ensure(self, every: timedelta) -> bool:
        """Have the schedule start a re-scan that often; zero: it is paused. Whether anything had to be changed.

        Raises:
            DependencyError: Temporal does not answer.
        """
        async with answering_within(LIMIT_S):
            client = await self._connection.client()
            try:
                await client.create_schedule(RESCAN_WORKFLOW, _schedule(every))
            except ScheduleAlreadyRunningError:
                return await _update(client.get_schedule_handle(RESCAN_WORKFLOW), every)
        return True

    async def start_now(self) -> None:
        """Start one, unless one is running.

        Raises:
            DependencyError: Temporal does not answer.
            ConflictError: there is no schedule yet: no control worker has started.
        """
        async with answering_within(LIMIT_S):
            client = await self._connection.client()
            try:
                await client.get_schedule_handle(RESCAN_WORKFLOW).trigger(overlap=ScheduleOverlapPolicy.SKIP)
            except RPCError as error:
                if is_missing(error):
                    raise ConflictError("there is no schedule of re-scans yet; start a control worker") from error
                raise


def _schedule(every: timedelta) -> Schedule:
    is_off = not every
    return Schedule(
        action=ScheduleActionStartWorkflow(
            WorkflowName.RESCAN,
            RescanOrder(),
            id=RESCAN_WORKFLOW,
            task_queue=CONTROL_QUEUE,
            execution_timeout=LONGEST,
            static_summary="compare what is live with today's advisories",
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every or ANY)]),
        # What was missed while the engine was off is not made up for: one run sees all.
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=timedelta(hours=1)),
        state=ScheduleState(paused=is_off, note=OFF if is_off else None),
    )


async def _update(handle: ScheduleHandle, every: timedelta) -> bool:
    if _is_as_wanted(await handle.describe(), every):
        return False

    def changed(found: ScheduleUpdateInput) -> ScheduleUpdate:
        wanted = _schedule(every)
        state = found.description.schedule.state
        if every and state.paused and state.note != OFF:
            wanted.state = state  # a person's pause
        return ScheduleUpdate(schedule=wanted)

    await handle.update(changed)
    return True


def _is_as_wanted(found: ScheduleDescription, every: timedelta) -> bool:
    state, intervals = found.schedule.state, found.schedule.spec.intervals
    if not every:
        return state.paused
    is_paused_by_us = state.paused and state.note == OFF
    return not is_paused_by_us and [one.every for one in intervals] == [every]
