"""The internal port of a process: `GET /metrics` for Prometheus, and nothing else. Never the port that clients use."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final, Protocol

from runtime.logging import get_logger

log = get_logger(__name__)

PATH: Final = "/metrics"
LIMIT_S: Final = 10.0
"""For a whole request and its answer."""
MOST_HEAD: Final = 16 * 1024
MOST_AT_ONCE: Final = 16


class Told(Protocol):
    """What is answered."""

    def answer(self, accept: str) -> tuple[str, bytes]:
        """Content type and body."""
        ...


class InternalPort:
    """One request a connection; whoever sends or takes too slowly is cut off."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self._open = 0

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A connection."""
        self._open += 1
        try:
            if self._open <= MOST_AT_ONCE:
                async with asyncio.timeout(LIMIT_S):
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(self._answered(head.decode("latin-1")))
                    await writer.drain()
                    writer.close()
                    await writer.wait_closed()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # nobody is there any more who could be told
        finally:
            self._open -= 1
            writer.transport.abort()

    def _answered(self, head: str) -> bytes:
        first, *lines = head.split("\r\n")
        method, _, rest = first.partition(" ")
        if rest.partition(" ")[0].partition("?")[0] != PATH:
            return _answer("404 Not Found", "text/plain", b"only /metrics is here\n")
        if method not in ("GET", "HEAD"):
            return _answer("405 Method Not Allowed", "text/plain", b"GET or HEAD\n", "Allow: GET, HEAD")
        headers = dict(line.lower().split(":", 1) for line in lines if ":" in line)
        kind, body = self._told.answer(headers.get("accept", "").strip())
        return _answer("200 OK", kind, body, with_body=method == "GET")


def _answer(status: str, kind: str, body: bytes, *more: str, with_body: bool = True) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *more, "Connection: close"]
    return "\r\n".join([*lines, "", ""]).encode() + (body if with_body else b"")


@asynccontextmanager
async def internal_port(host: str, port: int, told: Told, *, several: int = 1) -> AsyncIterator[int]:
    """Serve while the process lives; gives the port, 0: there is none.

    A port that is taken ends nothing: the process does what it is for, and says so in its log.

    Args:
        host: address to listen on.
        port: the first that may be taken; 0: none is wanted.
        told: what is answered.
        several: how many processes share these settings: each takes the first free one of as many ports.
    """
    server = await _listen(host, port, InternalPort(told), several) if port else None
    try:
        yield server.sockets[0].getsockname()[1] if server else 0
    finally:
        if server is not None:
            server.close()


async def _listen(host: str, port: int, handler: InternalPort, several: int) -> asyncio.Server | None:
    for each in range(port, min(port + several, 2**16)):
        with suppress(OSError):
            server = await asyncio.start_server(handler.connected, host, each, limit=MOST_HEAD)
            log.info("internal_port.listening", host=host, port=each)
            return server
    log.warning(
        "internal_port.taken", host=host, port=port, words="there are no metrics for Prometheus of this process"
    )
    return None
