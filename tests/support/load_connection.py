"""One keep-alive connection of the load generator: sends a request, recognises the end of its answer."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

MAX_ANSWER = 4 * 1024 * 1024


@dataclass(frozen=True)
class Answer:
    """Status and headers (lower-case names) of an answer, or why there is none."""

    status: int | None
    headers: dict[str, str] = field(default_factory=dict)
    error: str = ""
    reusable: bool = False


def parse_answer(data: bytes, *, ended: bool) -> Answer | None:
    """The answer in `data`; None while it is incomplete. `ended`: the peer will send no more."""
    head, separator, body = data.partition(b"\r\n\r\n")
    if not separator:
        return None
    line, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (h.partition(":") for h in lines)}
    status = int(line.split(" ", 2)[1])
    if headers.get("transfer-encoding", "").lower() == "chunked":
        complete = _chunks_end(body)
    elif "content-length" in headers:
        complete = len(body) >= int(headers["content-length"])
    else:
        complete = ended
    reusable = not ended and headers.get("connection", "").lower() != "close"
    return Answer(status, headers, reusable=reusable) if complete else None


def _chunks_end(body: bytes) -> bool:
    """Whether a chunked body is there up to and with its last chunk (trailers are not used here)."""
    position = 0
    while (line_end := body.find(b"\r\n", position)) >= 0:
        size = int(body[position:line_end].partition(b";")[0], 16)
        if size == 0:
            return body[line_end + 2 : line_end + 4] == b"\r\n"
        position = line_end + 2 + size + 2
    return False


class Connection(asyncio.Protocol):
    """Carries one request at a time. `on_idle` gets the connection back when it can carry another."""

    def __init__(self, on_idle: Callable[["Connection"], None]) -> None:
        self._on_idle = on_idle
        self._on_answer: Callable[[Answer], None] | None = None
        self._data = bytearray()
        self._transport: asyncio.Transport | None = None

    @property
    def open(self) -> bool:
        """Whether a request can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, request: bytes, on_answer: Callable[[Answer], None]) -> None:
        """Send; `on_answer` is called exactly once."""
        if self._transport is None:
            on_answer(Answer(None, error="not connected"))
            return
        self._on_answer = on_answer
        self._data.clear()
        self._transport.write(request)

    def abort(self, error: str) -> None:
        """Give up: the request in flight, if there is one, gets `error`."""
        self._finish(Answer(None, error=error))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not a subclass

    def data_received(self, data: bytes) -> None:
        self._data += data
        if len(self._data) > MAX_ANSWER:
            self._finish(Answer(None, error="answer too large"))
        else:
            self._try_finish(ended=False)

    def connection_lost(self, exc: Exception | None) -> None:
        self._try_finish(ended=True)
        self._finish(Answer(None, error=f"connection closed: {exc or 'by the peer'}"))

    def _try_finish(self, *, ended: bool) -> None:
        if self._on_answer is None:
            return
        try:
            answer = parse_answer(bytes(self._data), ended=ended)
        except (ValueError, IndexError):
            answer = Answer(None, error="answer is not HTTP")
        if answer is not None:
            self._finish(answer)

    def _finish(self, answer: Answer) -> None:
        on_answer, self._on_answer = self._on_answer, None
        if answer.reusable and self.open:
            self._on_idle(self)
        elif self._transport is not None:
            self._transport.abort()
        if on_answer is not None:
            on_answer(answer)
