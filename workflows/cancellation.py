"""Whether an operation is to stop, for whom, and until when it can."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar, Unpack

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

from contracts.operations import AbortRequest
from contracts.rollouts import LockSuperseded
from contracts.stubs import ActivityStub, Request, Result
from workflows.activity_calls import CallOptions, begun, call
from workflows.progress_tracker import ProgressTracker
from workflows.ui_details import superseded_message

T = TypeVar("T")


class Cancellation:
    """A stop cancels the work under way; the work undoes itself before it ends.

    `closed`: it is too late. Only a rollback of its own leads back then.
    """

    def __init__(self, progress: ProgressTracker) -> None:
        self._progress = progress
        self._work: asyncio.Task[Any] | None = None
        self.requested: AbortRequest | None = None
        self.superseded_by: LockSuperseded | None = None
        self.closed = False

    def stop(self, request: AbortRequest) -> None:
        self.requested = request
        self._progress.stopping()
        if self._work:
            self._work.cancel()

    def supersede(self, by: LockSuperseded) -> None:
        """A newer deployment takes the place of this one: it goes back as for an abort."""
        self.superseded_by = by
        self.stop(AbortRequest(actor="the environment", reason=superseded_message(by)))

    def check(self) -> None:
        """Stop if it was asked for, through the API or Temporal."""
        if self.requested is not None or workflow.cancellation_reason() is not None:
            raise asyncio.CancelledError

    def close(self) -> None:
        """Past the final switch: from now on nothing stops it."""
        self.closed = True

    async def call(
        self, stub: ActivityStub[Request, Result], request: Request, **options: Unpack[CallOptions]
    ) -> Result:
        """Call an activity, and stop if that was asked for while the activity finished."""
        result = await call(stub, request, **options)
        self.check()
        return result

    async def run(self, work: Coroutine[Any, Any, T], *, cancelled: bool) -> T:
        """Await work as a task that `stop` cancels. When this raises, the work is really over.

        Args:
            work: the whole operation.
            cancelled: it was cancelled through Temporal before it began.
        """
        task = begun(work)
        self._work = task
        try:
            if self.requested or cancelled:
                task.cancel()
            result = await task
            self.close()
        except (asyncio.CancelledError, ActivityError, ApplicationError):
            self.close()
            if not task.done():
                task.cancel()
                await workflow.wait([task])
            raise
        return result
