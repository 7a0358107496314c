"""Answers that take their time: event streams, and waiting no longer than somebody is there to be answered."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.types import Message, Receive, Send

from runtime.logging import get_logger

log = get_logger(__name__)

T = TypeVar("T")

SEND_LIMIT_S = 30.0


class PatientStream(StreamingResponse):
    """The next piece is made when the last one is sent; a reader that takes nothing is left."""

    async def stream_response(self, send: Send) -> None:
        """Send the pieces; starlette ends this when the client goes."""

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


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T | None:
    """Await work; None as soon as the client has gone, so that nothing waits for nobody."""
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
