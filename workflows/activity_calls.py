"""Calling activities through their typed stubs, and finishing what must not be interrupted."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypedDict, TypeVar
from uuid import UUID

from temporalio import workflow
from temporalio.common import Priority
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    is_cancelled_exception,
)
from temporalio.exceptions import (
    TimeoutError as TemporalTimeoutError,
)

from contracts.operations import OperationError
from contracts.payload import bounded
from contracts.stubs import ActivityStub, Request, Result
from domain.errors import ErrorCode

T = TypeVar("T")

# A timer that fires so late means that the engine was off. A busy machine does not delay it that much.
OFF_S = 10.0
OFF_PATCH = "time-off-is-not-counted"


class CallOptions(TypedDict, total=False):
    """What `call` takes beside the activity and its input."""

    summary: str | None
    queue: str | None
    pickup: timedelta | None
    only_looks: bool
    for_organization: UUID | None


async def call(
    stub: ActivityStub[Request, Result],
    request: Request,
    *,
    summary: str | None = None,
    queue: str | None = None,
    pickup: timedelta | None = None,
    only_looks: bool = False,
    for_organization: UUID | None = None,
) -> Result:
    """Run an activity by its stub's policy.

    A cancelled call waits until the activity has ended, so that it does not run on unnoticed.

    Args:
        stub: what to call.
        request: its input.
        summary: shown beside the activity in the Temporal UI.
        queue: another task queue than the workflow's own.
        pickup: how long it may wait for a worker (schedule-to-start).
        only_looks: it changes nothing in the world, so that a cancelled call is over at once; a cancellation takes up
            to a second to reach an activity, which is too long for the steps that follow.
        for_organization: its owner. A queue with a backlog serves organizations in turn.
    """
    kind = workflow.ActivityCancellationType
    policy = stub.policy
    result: Result = await workflow.execute_activity(
        stub.name,
        request,
        result_type=stub.result,
        task_queue=queue,
        start_to_close_timeout=policy.start_to_close,
        schedule_to_close_timeout=policy.schedule_to_close,
        schedule_to_start_timeout=pickup,
        heartbeat_timeout=policy.heartbeat,
        retry_policy=policy.retry,
        cancellation_type=kind.TRY_CANCEL if only_looks else kind.WAIT_CANCELLATION_COMPLETED,
        summary=summary,
        priority=Priority(fairness_key=str(for_organization)) if for_organization else Priority.default,
    )
    if not isinstance(result, stub.result):
        # Any client of Temporal can complete an activity from outside: a result without content is refused.
        raise ApplicationError(f"{stub.name} was said to be done without a result", non_retryable=True)
    return result


def begun(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """A task whose result may not be awaited any more, because it was stopped or is past its deadline.

    Its exception is read here: otherwise the event loop logs an error on which no one has to act.
    """
    task = asyncio.ensure_future(work)
    task.add_done_callback(_seen)
    return task


def _seen(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()


async def run_to_completion(work: Coroutine[Any, Any, T]) -> T:
    """Await work to its end, also when the workflow is cancelled meanwhile."""
    task = begun(work)
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.done():
                break
    return task.result()


async def within_deadline(work: Coroutine[Any, Any, None], seconds: float, summary: str) -> bool:
    """Await work up to a deadline. False: the deadline passed, and the work was cancelled and has ended.

    A timer that fires long after its time means that the engine was off: the work then gets the whole time again.

    Args:
        work: what to await.
        seconds: how long it may take.
        summary: shown beside the timer in the Temporal UI.
    """
    task = begun(work)
    try:
        while not task.done():
            began = workflow.now()
            with suppress(TimeoutError):
                await workflow.wait_condition(task.done, timeout=seconds, timeout_summary=summary)
            late_s = (workflow.now() - began).total_seconds() - seconds
            if late_s < OFF_S or not workflow.patched(OFF_PATCH):
                break
    except asyncio.CancelledError:
        await _end(task)
        raise
    in_time = task.done()
    if in_time:
        task.result()
    else:
        await _end(task)
    return in_time


async def cancel_when(condition: Callable[[], bool], work: Coroutine[Any, Any, T]) -> T | None:
    """Await work; cancel it as soon as the condition holds, and return None then."""
    task = begun(work)
    try:
        await workflow.wait_condition(lambda: task.done() or condition())
    except asyncio.CancelledError:
        await _end(task)
        raise
    if task.done():
        return task.result()
    await _end(task)
    return None


async def _end(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await workflow.wait([task])


def was_cancelled(fault: BaseException) -> bool:
    """Whether an exception means cancellation."""
    return isinstance(fault, asyncio.CancelledError) or is_cancelled_exception(fault)


def to_operation_error(fault: BaseException) -> OperationError:
    """The error that the API shows for an exception, without internal details."""
    cause = fault.__cause__ if isinstance(fault, ActivityError) and fault.__cause__ else fault
    if isinstance(cause, ApplicationError):
        details = cause.details[0] if cause.details and isinstance(cause.details[0], dict) else {}
        return OperationError(
            code=cause.type or ErrorCode.INTERNAL_ERROR, message=bounded(cause.message), details=details
        )
    if isinstance(cause, TemporalTimeoutError):
        if isinstance(cause.__cause__, ApplicationError):
            last = to_operation_error(cause.__cause__)  # the cause of the failed attempts says more than the time-out
            return last.model_copy(update={"message": bounded(f"gave up after many attempts: {last.message}")})
        where = f"step {fault.activity_type}" if isinstance(fault, ActivityError) else "a step"
        return OperationError(
            code=ErrorCode.TIMEOUT,
            message=f"{where} did not finish in time ({cause.type.name if cause.type else 'timeout'}); "
            "look at the workers and their logs, then try again",
        )
    return OperationError(
        code=ErrorCode.INTERNAL_ERROR, message=bounded(f"unexpected fault: {type(cause).__name__}: {cause}", 1024)
    )
