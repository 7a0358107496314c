"""Operations that run on the server: followed, waited for, cancelled."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ai_agents._async._runtime import called, sleep
from ai_agents._async.lines import NoEventsError, Patience, events
from ai_agents._async.transport import AsyncTransport
from ai_agents._calls import Call, call
from ai_agents._errors import OperationFailedError, OperationTimeoutError
from ai_agents._lazy import models

if TYPE_CHECKING:
    from ai_agents.models import AcceptedOperation, Deployment, Operation

    OnProgress = Callable[[Operation], Awaitable[object] | object]

PATH = "/operations/{operation_id}"
POLL_S = 5.0
COMPLETED = "completed"
# Who waits for a person says how long, or None.
LONGEST_S = 3600.0


class _Until(Patience):
    """The end of a wait."""

    def __init__(self, operation_id: str, seconds: float | None) -> None:
        self._operation_id = operation_id
        self._seconds = seconds
        self._ends = None if seconds is None else time.monotonic() + seconds

    def left(self) -> float | None:
        if self._ends is None:
            return None
        left = self._ends - time.monotonic()
        if left <= 0:
            words = f"operation {self._operation_id} is still running after {self._seconds:g} s"
            raise OperationTimeoutError(f"{words}: operations.resume(id) waits on", self._operation_id)
        return left


class AsyncOperationHandle:
    """An operation that runs on the server, whatever becomes of this process.

    Another process has it by its id: `client.operations.resume(id)`.

    Attributes:
        id: of the operation.
        deployment_id: of the deployment that it makes.
        status: as last seen.
        operation: as last seen; None before it was looked at for the first time.
    """

    def __init__(
        self, transport: AsyncTransport, accepted: AcceptedOperation | None = None, operation: Operation | None = None
    ) -> None:
        known: Any = operation or accepted
        self._transport = transport
        self._poll_s = POLL_S if accepted is None else float(accepted.poll_interval_seconds)
        self.id: str = known.operation_id
        self.deployment_id: str = known.resource_id
        self.status: str = known.status
        self.operation = operation

    @property
    def done(self) -> bool:
        """Whether it had ended when it was last seen."""
        return self.operation is not None and self.operation.done

    async def refresh(self) -> Operation:
        """The operation as it is now."""
        answer = await self._transport.send(self._call("operations.get", "GET", PATH))
        return self._seen(answer.model(answer.envelope()["data"], models.Operation))

    async def cancel(self, reason: str | None = None) -> Operation:
        """Stop it: before any traffic has moved it ends as cancelled, after that traffic returns first."""
        body = {} if reason is None else {"reason": reason}
        answer = await self._transport.send(self._call("operations.cancel", "POST", PATH + "/cancel", body))
        return self._seen(answer.model(answer.envelope()["data"], models.Operation))

    async def wait(
        self,
        *,
        timeout: float | None = LONGEST_S,
        on_progress: OnProgress | None = None,
        poll_interval: float | None = None,
    ) -> Operation:
        """The operation when it has ended, however it ended (`result` raises if it did not end well).

        It follows the operation's events, and polls where there are none.

        Args:
            timeout: seconds, an hour if nothing is said; None waits for ever: where a person must approve.
            on_progress: called with the operation each time it has changed.
            poll_interval: seconds between two polls; what the server asks for if it is not given.

        Raises:
            OperationTimeoutError: It is still running. Nothing is lost: `operations.resume(id)`.
        """
        until = _Until(self.id, timeout)
        version = None
        async for operation in self._changes(until, self._poll_s if poll_interval is None else poll_interval):
            self._seen(operation)
            if operation.version != version and on_progress is not None:
                await called(on_progress, operation)
            version = operation.version
            if operation.done:
                return operation
        return await self.refresh()

    async def result(
        self,
        *,
        timeout: float | None = LONGEST_S,
        on_progress: OnProgress | None = None,
        poll_interval: float | None = None,
    ) -> Deployment:
        """The deployment that it made. It waits, as `wait` does.

        Raises:
            OperationFailedError: It failed, was cancelled, or was rolled back: with code, message and steps.
            OperationTimeoutError: It is still running.
        """
        operation = self.operation if self.operation is not None and self.operation.done else None
        operation = operation or await self.wait(timeout=timeout, on_progress=on_progress, poll_interval=poll_interval)
        if operation.status != COMPLETED:
            raise OperationFailedError(_words(operation), operation)
        path = {"deployment_id": operation.resource_id}
        answer = await self._transport.send(call("deployments.get", "GET", DEPLOYMENT, path=path, options={}))
        return answer.model(answer.envelope()["data"], models.Deployment)

    async def _changes(self, until: _Until, poll_s: float) -> AsyncGenerator[Operation, None]:
        """The operation each time it has changed, or may have."""
        try:
            stream = self._call("operations.events", "GET", PATH + "/events")
            async for operation in followed(self._transport, stream, until):
                yield operation
        except NoEventsError:
            while True:
                yield await self.refresh()
                left = until.left()
                await sleep(poll_s if left is None else min(poll_s, left))

    def _call(self, name: str, verb: str, template: str, body: dict[str, Any] | None = None) -> Call:
        return call(name, verb, template, path={"operation_id": self.id}, body=body, options={})

    def _seen(self, operation: Operation) -> Operation:
        self.operation, self.status = operation, operation.status
        return operation

    def __repr__(self) -> str:
        return f"{type(self).__name__}(id={self.id!r}, status={self.status!r})"


DEPLOYMENT = "/deployments/{deployment_id}"


def _words(operation: Operation) -> str:
    error = operation.error
    reason = f": {error.message} ({error.code})" if error else ""
    step = next((one.name for one in operation.steps if one.status == "failed"), None)
    return f"operation {operation.operation_id} {operation.status}{reason}{f'; it stopped at {step}' if step else ''}"


async def followed(transport: AsyncTransport, asked: Call, patience: Patience) -> AsyncGenerator[Operation, None]:
    """The operation at each change that the server tells of, until it has ended, or the server ends the stream."""
    told = events(transport, asked, patience)
    try:
        async for event in told:
            if event.name == "progress":
                operation = models.Operation.of(json.loads(event.data))
                yield operation
                if operation.done:
                    return
    finally:
        await told.aclose()


class AsyncResuming:
    """What `client.operations` has beside the API's own methods."""

    _transport: AsyncTransport

    async def resume(self, operation_id: str) -> AsyncOperationHandle:
        """The handle of an operation that another process, or another call, began."""
        path = {"operation_id": operation_id}
        answer = await self._transport.send(call("operations.get", "GET", PATH, path=path, options={}))
        operation = answer.model(answer.envelope()["data"], models.Operation)
        return AsyncOperationHandle(self._transport, operation=operation)
