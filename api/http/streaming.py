"""Event streams and long polls, which end when the client disconnects."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Self, TypeVar

from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from api.http.concurrency_limits import Held
from domain.errors import DeliveryError
from runtime.logging import get_logger

log = get_logger(__name__)

T = TypeVar("T")

SEND_LIMIT_S = 30.0
LOOK_EVERY_S = 1.0


class PatientStream(StreamingResponse):
    """Creates the next piece when the last one is sent; gives up on a reader that takes nothing.

    A slot that it holds (`held_by`) is released when the answer ends for any reason.
    """

    _held: Held | None = None

    def held_by(self, held: Held) -> Self:
        """The same answer, holding a slot."""
        self._held = held
        return self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            if self._held is not None:
                self._held.release()

    async def stream_response(self, send: Send) -> None:
        """Send the pieces; starlette cancels this when the client disconnects."""

        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(SEND_LIMIT_S):
                await send(message)

        try:
            await super().stream_response(send_in_time)
        except TimeoutError:
            log.warning("stream.reader_too_slow", limit_s=SEND_LIMIT_S)


class EventStream(PatientStream):
    """Server-sent events."""

    media_type = "text/event-stream"


class LineStream(PatientStream):
    """Newline-delimited JSON."""

    media_type = "application/x-ndjson"


async def while_allowed(
    pieces: AsyncGenerator[str, None],
    fault: Callable[[], Awaitable[DeliveryError | None]],
    farewell: Callable[[DeliveryError], str],
) -> AsyncGenerator[str, None]:
    """The pieces while the reader is permitted; then a last one with the reason.

    Args:
        pieces: the content.
        fault: why the reader must stop; checked before each piece, and every second while none comes.
        farewell: the last piece.
    """
    coming: asyncio.Future[str] | None = None
    try:
        while True:
            coming = coming or asyncio.ensure_future(anext(pieces))
            done, _ = await asyncio.wait({coming}, timeout=LOOK_EVERY_S)
            if (refusal := await fault()) is not None:
                log.info("stream.ended", reason=refusal.code)
                yield farewell(refusal)
                return
            if done:
                try:
                    piece = coming.result()
                except StopAsyncIteration:
                    return
                coming = None
                yield piece
    finally:
        if coming is not None:
            coming.cancel()
            with suppress(asyncio.CancelledError, StopAsyncIteration):
                await coming
        await pieces.aclose()


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T | None:
    """Await work; None when the client disconnects first."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(request.receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        task.cancel()
        gone.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
