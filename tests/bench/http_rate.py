"""A closed loop: so many connections, each asking again as soon as it is answered. Prints requests a second.

    python -m tests.bench.http_rate --port 8080 --token-file T --connections 32 --seconds 5 PATH [PATH ...]

In a process of its own, on a core of its own where there are several.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from functools import partial
from itertools import cycle
from pathlib import Path

import uvloop

HEAD_END = b"\r\n\r\n"
LENGTH = b"content-length: "


class Asker(asyncio.Protocol):
    """One connection; `answers` counts complete answers, `bad` those that are not 200."""

    def __init__(self, requests: Sequence[bytes]) -> None:
        self._requests = cycle(requests)
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self.answers = self.bad = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment] # a TCP connection's is a Transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._end()) is not None:
            self.answers += 1
            self.bad += not self._buffer.startswith(b"HTTP/1.1 200")
            self._buffer = self._buffer[end:]
            self._ask()

    def stop(self) -> None:
        if self._transport:
            self._transport.abort()

    def _ask(self) -> None:
        if self._transport:
            self._transport.write(next(self._requests))

    def _end(self) -> int | None:
        head = self._buffer.find(HEAD_END)
        if head < 0:
            return None
        start = self._buffer.lower().index(LENGTH) + len(LENGTH)
        length = int(self._buffer[start : self._buffer.index(b"\r", start)])
        end = head + len(HEAD_END) + length
        return end if len(self._buffer) >= end else None


async def rate(port: int, token: str, paths: Sequence[str], *, connections: int, seconds: float) -> tuple[float, int]:
    """Requests a second; how many were answered in all, those before the measuring included.

    Raises:
        AssertionError: an answer was not 200.
    """
    head = f"HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\n\r\n"
    requests = [f"GET {path} {head}".encode() for path in paths]
    loop = asyncio.get_running_loop()
    askers = []
    for number in range(connections):
        turned = requests[number % len(requests) :] + requests[: number % len(requests)]
        _, asker = await loop.create_connection(partial(Asker, turned), "127.0.0.1", port)
        askers.append(asker)
    await asyncio.sleep(seconds / 5)  # warm
    before, began = sum(a.answers for a in askers), time.perf_counter()
    await asyncio.sleep(seconds)
    done, took = sum(a.answers for a in askers) - before, time.perf_counter() - began
    bad = sum(a.bad for a in askers)
    for asker in askers:
        asker.stop()
    answers = sum(a.answers for a in askers)
    if bad:
        raise AssertionError(f"{bad} answers were not 200")
    return done / took, answers


def main() -> None:
    """Parse the command line, ask, print."""
    parser = argparse.ArgumentParser(prog="http_rate", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--token-file", type=Path, required=True)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--answers", action="store_true", help="print how many were answered instead")
    parser.add_argument("paths", nargs="+")
    given = parser.parse_args()
    work = rate(
        given.port, given.token_file.read_text(), given.paths, connections=given.connections, seconds=given.seconds
    )
    a_second, answers = uvloop.run(work)
    sys.stdout.write(f"{answers}\n" if given.answers else f"{a_second:.1f}\n")


if __name__ == "__main__":
    main()
