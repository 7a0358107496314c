"""An open-loop load generator: requests leave by the clock, however slow the answers are.

    python -m tests.support.loadgen --url http://127.0.0.1:8000/ --host dev.shop.acme.localhost --rps 500 --seconds 10

Latency counts from when a request was due, so a stall shows in every request that should have been sent meanwhile
(no coordinated omission). Prints a summary as JSON; exits 1 when a request failed. SIGTERM ends a run early.
"""

import argparse
import asyncio
import json
import signal
import sys
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

import uvloop

from tests.support.load_connection import Answer, Connection
from tests.support.load_summary import NO_RELEASE, Record, Summary, summarize

MAX_REQUESTS = 1_000_000
MAX_CONNECTIONS = 2000  # a machine that stalls for a second makes requests late, which shows; it loses none
MAX_IDLE = 64
SWEEP_SECONDS = 0.1
UNDER_WAY = "under way\n"


@dataclass(frozen=True)
class LoadPlan:
    """What to send: GETs of `url` (a loopback address) with this Host header, `rps` of them a second."""

    url: str
    host: str
    rps: float
    seconds: float
    timeout: float = 60

    def __post_init__(self) -> None:
        if urlsplit(self.url).hostname not in ("127.0.0.1", "::1", "localhost"):
            raise ValueError(f"load goes to this machine only, not to {self.url}")
        if not 0 < self.rps * self.seconds <= MAX_REQUESTS:
            raise ValueError(f"rps times seconds must lie between 0 and {MAX_REQUESTS}")

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to dial."""
        parts = urlsplit(self.url)
        return parts.hostname or "127.0.0.1", parts.port or 80

    @property
    def request(self) -> bytes:
        """The bytes of every request."""
        parts = urlsplit(self.url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return f"GET {target} HTTP/1.1\r\nhost: {self.host}\r\nuser-agent: loadgen\r\n\r\n".encode()


class LoadGenerator:
    """One run. `stop` ends it early; what is in flight is still waited for."""

    def __init__(self, plan: LoadPlan) -> None:
        self._plan = plan
        self._loop = asyncio.get_running_loop()
        self._stopped = False
        self._all_sent = False
        self._all_answered = asyncio.Event()
        self._idle: deque[Connection] = deque()
        self._in_flight: dict[int, tuple[float, Connection | None]] = {}
        self._dials: set[asyncio.Task[None]] = set()
        self._records: list[Record] = []
        self._started = 0.0

    def stop(self) -> None:
        """Schedule no more requests."""
        self._stopped = True

    async def run(self) -> Summary:
        """Send everything on time, wait for the answers (bounded by the plan's timeout), count."""
        self._started = perf_counter()
        sweeper = asyncio.ensure_future(self._sweep())
        try:
            seconds = await self._send_on_time()
            self._all_sent = True
            if self._in_flight:
                await self._all_answered.wait()
        finally:
            sweeper.cancel()
            self._close()
        return summarize(self._records, seconds)

    async def _send_on_time(self) -> float:
        """Send each request when it is due; returns the seconds that were scheduled."""
        count, sent = int(self._plan.rps * self._plan.seconds), 0
        while sent < count and not self._stopped:
            due = self._started + sent / self._plan.rps
            if (wait := due - perf_counter()) > 0:
                await asyncio.sleep(min(wait, SWEEP_SECONDS))
                continue
            self._send(sent, due)
            sent += 1
            if wait < -SWEEP_SECONDS:
                await asyncio.sleep(0)  # late: send all that is due, but let answers in between
        return sent / self._plan.rps

    def _send(self, number: int, due: float) -> None:
        while self._idle:
            connection = self._idle.pop()
            if connection.open:
                self._in_flight[number] = (due, connection)
                connection.send(self._plan.request, partial(self._answered, number))
                return
        self._in_flight[number] = (due, None)
        if len(self._dials) + sum(c is not None for _, c in self._in_flight.values()) >= MAX_CONNECTIONS:
            self._answered(number, Answer(None, error="too many requests in flight"))
            return
        task = self._loop.create_task(self._dial(number, due))
        self._dials.add(task)
        task.add_done_callback(self._dials.discard)

    async def _dial(self, number: int, due: float) -> None:
        make: Callable[[], Connection] = partial(Connection, self._idle_again)
        try:
            async with asyncio.timeout(self._plan.timeout):
                _, connection = await self._loop.create_connection(make, *self._plan.address)
        except (OSError, TimeoutError) as error:
            self._answered(number, Answer(None, error=f"cannot connect: {error or 'timeout'}"))
            return
        self._in_flight[number] = (due, connection)
        connection.send(self._plan.request, partial(self._answered, number))

    def _idle_again(self, connection: Connection) -> None:
        if len(self._idle) < MAX_IDLE:
            self._idle.append(connection)
        else:
            connection.abort("enough idle connections")

    def _answered(self, number: int, answer: Answer) -> None:
        due, _ = self._in_flight.pop(number)
        latency = (perf_counter() - due) * 1000
        release = answer.headers.get("x-delivery-release", NO_RELEASE)
        self._records.append(
            Record(round(due - self._started, 4), round(latency, 3), answer.status, release, answer.error)
        )
        if self._all_sent and not self._in_flight:
            self._all_answered.set()

    async def _sweep(self) -> None:
        """End what took longer than the timeout."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            limit = perf_counter() - self._plan.timeout
            for due, connection in list(self._in_flight.values()):
                if due < limit and connection is not None:
                    connection.abort(f"no answer within {self._plan.timeout:g} s")

    def _close(self) -> None:
        for task in self._dials:
            task.cancel()
        for connection in self._idle:
            connection.abort("the run is over")
        self._idle.clear()


async def run_load(plan: LoadPlan, *, stop_on_signals: bool = False) -> Summary:
    """Carry out a plan in the running loop."""
    generator = LoadGenerator(plan)
    if stop_on_signals:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, generator.stop)
        sys.stderr.write(UNDER_WAY)  # whoever started it waits for this
        sys.stderr.flush()
    return await generator.run()


def _run(main: Coroutine[Any, Any, Summary]) -> Summary:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # half the CPU of asyncio's own loop
        return runner.run(main)


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="loadgen", description="Open-loop HTTP load on this machine.")
    parser.add_argument("--url", required=True, help="address to dial, for example http://127.0.0.1:8000/")
    parser.add_argument("--host", default="", help="Host header; the address itself when missing")
    parser.add_argument("--rps", type=float, default=100, help="requests a second")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--timeout", type=float, default=60, help="seconds a request may take")
    parser.add_argument("--output", type=Path, help="file for the summary; standard output when missing")
    options = parser.parse_args(arguments)
    host = options.host or urlsplit(options.url).netloc
    plan = LoadPlan(options.url, host, options.rps, options.seconds, options.timeout)
    summary = _run(run_load(plan, stop_on_signals=True))
    text = json.dumps(asdict(summary), indent=2)
    if options.output:
        options.output.write_text(text + "\n")
    else:
        sys.stdout.write(text + "\n")
    return 1 if summary.failures else 0


if __name__ == "__main__":
    sys.exit(main())
