"""Joined pairs of connections, and streams to a checked address. Used by all our proxies."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from runtime import outbound

CHUNK = 64 * 1024
CONNECT_TIMEOUT_S = 10.0
# Addresses of one name are tried one after another; the total time is limited.
CONNECT_LIMIT_S = 30.0
# A pool may keep an idle database connection for hours; TCP keepalive checks whether the peer lives.
IDLE_S = 24 * 3600.0
# One side has closed its sending direction: the other one answers soon, or not at all.
HALF_OPEN_IDLE_S = 600.0
_KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
)

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Pass = Callable[[int], Awaitable[None]]
"""Called before this many bytes are passed on; returns when they may be."""


@dataclass
class Passed:
    """Bytes passed on so far."""

    sent: int = 0
    received: int = 0


async def dial(addresses: Sequence[str], port: int) -> tuple[str, Stream]:
    """Connect to the first address that accepts; returns the stream and that address.

    Raises:
        UnreachableError: none does.
    """

    async def connect(ip: str) -> Stream:
        stream = await asyncio.open_connection(ip, port, limit=CHUNK)
        _keep_alive(stream[1])
        return stream

    return await outbound.dial(addresses, connect, each_s=CONNECT_TIMEOUT_S, all_s=CONNECT_LIMIT_S)


async def join(inside: Stream, outside: Stream, passed: Passed | None = None, may_pass: Pass | None = None) -> None:
    """Pass on bytes in both directions until both sides have closed, or nothing has moved for too long.

    Args:
        inside: the client's side.
        outside: the server's side.
        passed: counts.
        may_pass: slows it down.
    """
    count = passed or Passed()
    loop = asyncio.get_running_loop()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, outward: bool) -> None:
        while chunk := await reader.read(CHUNK):
            limit.reschedule(loop.time() + idle_s)
            if may_pass:
                await may_pass(len(chunk))
            writer.write(chunk)
            await writer.drain()
            count.sent += len(chunk) if outward else 0
            count.received += 0 if outward else len(chunk)
        _end(writer)

    with contextlib.suppress(TimeoutError, OSError):
        idle_s = IDLE_S
        async with asyncio.timeout(idle_s) as limit:
            ways = (
                asyncio.ensure_future(copy(inside[0], outside[1], outward=True)),
                asyncio.ensure_future(copy(outside[0], inside[1], outward=False)),
            )
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                idle_s = HALF_OPEN_IDLE_S
                limit.reschedule(loop.time() + idle_s)
                await asyncio.gather(*ways)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)


def close(writer: asyncio.StreamWriter) -> None:
    """Close once all written bytes are sent, but do not wait for a peer that does not read."""
    if writer.transport.get_write_buffer_size():
        asyncio.get_running_loop().call_later(CONNECT_TIMEOUT_S, writer.transport.abort)
    writer.close()


def _end(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        if writer.can_write_eof():
            writer.write_eof()
        else:
            writer.close()


def _keep_alive(writer: asyncio.StreamWriter) -> None:
    found = writer.get_extra_info("socket")
    for option in _KEEPALIVE:
        with contextlib.suppress(OSError):
            found.setsockopt(*option)
