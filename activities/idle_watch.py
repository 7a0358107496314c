"""Whether a server closes a connection shortly after its answer without having said so."""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self

import h11

from domain.delivery_spec import HealthSpec

SHORT_S = 1.0
"""The router lets go of idle connections after this long, so what closes later than that does no harm."""
PATIENCE_S = 0.1
_CHUNK = 65536
_MOST_BYTES = 4 * 1024 * 1024


class IdleWatch:
    """Asks for the health path once and leaves the connection open while the instance's other checks go on.

    HTTP allows a server to close at any time (RFC 9112, 9.3), but a request that is sent at that moment is lost. Used
    as a context manager: what still watches at the end is ended.
    """

    def __init__(self) -> None:
        self._task: asyncio.Task[bool] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def begin(self, address: str, port: int, health: HealthSpec) -> None:
        """Start watching, once. An `address` may be the path of a unix socket."""
        if self._task is None:
            self._task = asyncio.create_task(_closes(address, port, health))

    async def closed(self) -> bool:
        """What was found until now; False when the connection is still open, or nothing could be found out."""
        if self._task is None:
            return False
        await asyncio.wait([self._task], timeout=PATIENCE_S)
        return self._task.done() and not self._task.cancelled() and self._task.result()


async def _closes(address: str, port: int, health: HealthSpec) -> bool:
    try:
        async with asyncio.timeout(health.timeout + SHORT_S):
            reader, writer = await _connect(address, port)
            try:
                return await _keeps_quiet(reader, writer, health)
            finally:
                writer.close()
    except (OSError, TimeoutError, h11.ProtocolError):
        return False


async def _connect(address: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if address.startswith("/"):
        return await asyncio.open_unix_connection(address)
    return await asyncio.open_connection(address, port)


async def _keeps_quiet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, health: HealthSpec) -> bool:
    """Whether the end of the connection follows a whole answer that did not announce it."""
    talk = h11.Connection(h11.CLIENT)
    headers = [("host", health.host or "localhost")]
    writer.write(talk.send(h11.Request(method="GET", target=health.path, headers=headers)) or b"")
    writer.write(talk.send(h11.EndOfMessage()) or b"")
    received, framed = 0, False
    while not isinstance(event := talk.next_event(), h11.EndOfMessage):
        if event is h11.NEED_DATA:
            data = await reader.read(_CHUNK)
            received += len(data)
            if received > _MOST_BYTES:
                return False
            talk.receive_data(data)
        elif isinstance(event, h11.ConnectionClosed):
            return False
        elif isinstance(event, h11.Response):
            framed = any(name in (b"content-length", b"transfer-encoding") for name, _ in event.headers)
    if talk.their_state is not h11.DONE or not framed:
        return False  # it said that it would close
    with suppress(TimeoutError):
        async with asyncio.timeout(SHORT_S):
            return await reader.read(1) == b""
    return False
