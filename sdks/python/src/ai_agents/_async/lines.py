"""Answers that come line by line, and may be endless: exports, logs, an operation's events."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ai_agents._answers import error_of_code
from ai_agents._async._runtime import sleep
from ai_agents._async.transport import AsyncTransport
from ai_agents._calls import Call
from ai_agents._errors import AIAgentsError, APIConnectionError, APIError, InvalidResponseError
from ai_agents._sse import Event, Events, LineFeed

if TYPE_CHECKING:
    import httpx2
    from typing_extensions import Self

T = TypeVar("T")

EVENTS = "text/event-stream"
# A stream that breaks so often without a single event in between is given up.
MOST_BREAKS = 5
# A stream that lasted so long did not break, it ended: servers end them after a while. In seconds.
LASTING_S = 30.0
# No read is given less, in seconds.
LEAST_S = 0.5
# There is nothing to stream here, or something between does not let it through.
NO_STREAM = frozenset({404, 405, 406, 501})
# Between two connections where the server says nothing, in seconds; it cannot ask for more than the second.
PAUSE_S, MOST_PAUSE_S = 1.0, 10.0


class NoEventsError(AIAgentsError):
    """The server, or something between, does not stream events here."""


class AsyncLines(Generic[T]):
    """Items as they come. Who leaves the loop early calls `close`, or uses `async with`: else the connection stays."""

    def __init__(self, items: AsyncGenerator[T, None]) -> None:
        self._items = items

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        return await self._items.__anext__()

    async def close(self) -> None:
        """Let go of the connection."""
        await self._items.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def json_lines(transport: AsyncTransport, call: Call) -> AsyncGenerator[dict[str, Any], None]:
    """Newline-delimited JSON.

    Raises:
        InvalidResponseError: A line is none.
    """
    lines = LineFeed()
    async with transport.open(call) as response:
        async for piece in transport.pieces(call, response):
            for line in lines.feed(piece):
                if line.strip():
                    yield _parsed(call, response.status_code, line)
    for line in lines.end():
        yield _parsed(call, 200, line)


def _parsed(call: Call, status: int, line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        message = f"{call.name}: a line of the answer is no JSON object: {line[:200]!r}. Was it cut?"
        raise InvalidResponseError(message, status=status, content_type="", excerpt=line[:200])
    return found  # pyright: ignore[reportUnknownVariableType]


class Patience:
    """How long a stream may be read now. This one has no end."""

    def left(self) -> float | None:
        """Seconds that are left; None: no end. Raises what the end of the time is."""
        return None


async def events(transport: AsyncTransport, call: Call, patience: Patience) -> AsyncGenerator[Event, None]:
    """Server-sent events; when the stream ends or breaks it is continued after the last one.

    It ends when the server says so (204), or with the event `closed`, whose error is raised. The caller knows which
    event is the last, and stops then.

    Args:
        transport: to the server.
        call: of the stream.
        patience: how long to read.

    Raises:
        NoEventsError: There is no stream of events.
        APIConnectionError: It broke too often.
    """
    at = _Position()
    while True:
        request, limit = _connection(transport, call, at.last_id, patience)
        parser, since = Events(at.last_id), time.monotonic()
        try:
            async with transport.open(request) as response:
                if response.status_code == 204:
                    return
                _check(call, response.status_code, response.headers.get("content-type", ""))
                at.has_been_open = True
                async for event in _told(transport, request, response, parser, patience):
                    at.breaks, at.last_id = 0, parser.last_id
                    if event.name == "closed":
                        raise _farewell(call, event)
                    yield event
        except APIError as error:
            if error.status in NO_STREAM and not at.has_been_open:
                raise NoEventsError(str(error)) from error
            raise
        except APIConnectionError as error:
            at.broke(error)
        else:
            if not _is_short(patience, limit):
                at.ended(call, time.monotonic() - since)
        await _rest(at, parser, patience)


@dataclass
class _Position:
    """Where a stream is to be continued, and how often it has broken since the last event."""

    last_id: str | None = None
    breaks: int = 0
    has_been_open: bool = False

    def broke(self, fault: APIConnectionError) -> None:
        self.breaks += 1
        if not self.has_been_open or self.breaks > MOST_BREAKS:
            raise fault

    def ended(self, call: Call, after_s: float) -> None:
        self.breaks = 1 if after_s > LASTING_S else self.breaks + 1
        if self.breaks > MOST_BREAKS:
            raise APIConnectionError(f"{call.name}: the stream ended {self.breaks} times without an event")


async def _told(
    transport: AsyncTransport, call: Call, response: httpx2.Response, parser: Events, patience: Patience
) -> AsyncGenerator[Event, None]:
    """The events of one connection, which is let go when little of the time is left: a read may take `call.timeout`."""
    async for piece in transport.pieces(call, response):
        for event in parser.feed(piece):
            yield event
        if _is_short(patience, call.timeout or 0):
            return


def _is_short(patience: Patience, limit: float) -> bool:
    left = patience.left()
    return left is not None and left < limit / 2


async def _rest(at: _Position, parser: Events, patience: Patience) -> None:
    """Wait before connecting again, if the stream broke or ended."""
    if at.breaks:
        left = patience.left()
        pause = min(MOST_PAUSE_S, PAUSE_S if parser.retry_s is None else parser.retry_s)
        await sleep(pause if left is None else min(pause, left))


def _connection(transport: AsyncTransport, call: Call, last_id: str | None, patience: Patience) -> tuple[Call, float]:
    """The request that goes on after an event, and how long a read of its answer may take."""
    usual = transport.timeout if call.timeout is None else call.timeout
    left = patience.left()
    limit = usual if left is None else max(LEAST_S, min(usual, left))
    headers = {**call.headers, **({} if last_id is None else {"Last-Event-ID": last_id})}
    return replace(call, headers=headers, accept=EVENTS, timeout=limit), limit


def _check(call: Call, status: int, kind: str) -> None:
    if kind.partition(";")[0].strip().lower() != EVENTS:
        raise NoEventsError(f"{call.name}: status {status} with {kind or 'no content type'} is no stream of events")


def _farewell(call: Call, event: Event) -> APIError:
    """The error that the last event of a reader who may not read any more tells of."""
    try:
        found = json.loads(event.data)
    except ValueError:
        found = None
    told: dict[str, Any] = found if isinstance(found, dict) else {}  # pyright: ignore[reportUnknownVariableType]
    return error_of_code(str(told.get("code", "")), str(told.get("message") or "the server closed the stream"), call)
