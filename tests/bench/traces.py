"""What traces cost, in CPU seconds of the processes that make them, with and without by turns.

`python -m tests.bench.traces [--before CHECKOUT]`. A pair that is the same twice says what the noise is. `--before`: a
checkout without traces, whose API process is the third of the row: what they cost where they are off.
"""

import argparse
import statistics
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2

from runtime.settings import Settings
from runtime.stack import orphans
from runtime.stack.layout import Layout
from tests.bench.api import bench_platform, served
from tests.bench.cpu import cpu_s, in_percent
from tests.support.platform import Platform

ROUNDS = 30
READS, WRITES = 400, 40
AT_ONCE = 8
DELIVERIES = 10
OFF, AGAIN, ON, BEFORE = "off", "off again", "on", "before"


class Sink(BaseHTTPRequestHandler):
    """A collector that takes everything and keeps nothing."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        return


@contextmanager
def sink() -> Iterator[Mapping[str, str]]:
    """One that listens; what a process needs to send there."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{server.server_port}"}
    finally:
        server.shutdown()


@dataclass(frozen=True)
class Side:
    """An API process of a row."""

    name: str
    port: int
    pid: int


@dataclass(frozen=True)
class Line:
    """CPU milliseconds of one request or delivery on each side: medians, and what pairs differ by."""

    words: str
    median_ms: Mapping[str, float]
    more: Mapping[str, str]

    def __str__(self) -> str:
        sides = "   ".join(f"{name} {ms:.2f}" for name, ms in self.median_ms.items())
        more = "   ".join(f"{name} {words}" for name, words in self.more.items())
        return f"  {self.words:34} ms: {sides}   against {OFF}: {more}"


def compared(words: str, rounds: Sequence[Mapping[str, float]]) -> Line:
    """Rounds of CPU seconds by side."""
    names = [name for name in rounds[0] if name != OFF]
    return Line(
        words,
        {name: 1000 * statistics.median(one[name] for one in rounds) for name in rounds[0]},
        {name: in_percent([one[name] / one[OFF] for one in rounds]) for name in names},
    )


def requests(platform: Platform, before: Path | None = None) -> Iterator[Line]:
    """Reads as pollers make them, and changes."""
    app = platform.app("traced")
    deployment = app.ship_good().deployment["id"]
    wanted: list[tuple[str, int, Callable[[httpx2.Client], httpx2.Response]]] = [
        ("GET /deployments/{id}", READS, lambda http: http.get(f"/v1/deployments/{deployment}")),
        (
            "POST /projects/{id}/requirements",
            WRITES,
            lambda http: http.post(
                f"/v1/projects/{app.project['id']}/requirements",
                json={"title": "Sell things", "description": "...", "acceptance_criteria": ["It sells"]},
            ),
        ),
    ]
    with ExitStack() as stack:
        collected = stack.enter_context(sink())
        sides = [
            Side(name, *stack.enter_context(served(platform, given=given)))
            for name, given in ((OFF, {}), (AGAIN, {}), (ON, collected))
        ]
        if before:
            sides.append(Side(BEFORE, *stack.enter_context(served(platform, root=before))))
        for words, count, ask in wanted:
            for side in sides:
                _spent(side, platform, count, ask)  # warm
            # Each round begins with another side.
            rounds = [
                {side.name: _spent(side, platform, count, ask) for side in (*sides[turn:], *sides[:turn])}
                for turn in (number % len(sides) for number in range(ROUNDS))
            ]
            yield compared(words, [{side.name: one[side.name] for side in sides} for one in rounds])


def _spent(side: Side, platform: Platform, count: int, ask: Callable[[httpx2.Client], httpx2.Response]) -> float:
    """CPU seconds a request."""
    headers = {"Authorization": f"Bearer {platform.stack.token()}"}
    address = f"http://127.0.0.1:{side.port}"
    with (
        httpx2.Client(base_url=address, headers=headers, trust_env=False, timeout=60) as http,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        began = cpu_s(side.pid)
        codes = {answer.status_code for answer in pool.map(lambda _: ask(http), range(count))}
        spent = cpu_s(side.pid) - began
    assert codes <= {200, 201}, codes
    return spent / count


def deliveries() -> Iterator[Line]:
    """Whole ones, on two stacks by turns: CPU of API and worker, without what builds and services use."""
    with sink() as collected, bench_platform() as off, bench_platform(collected) as on:
        platforms = {OFF: off, ON: on}
        apps = {name: one.app("traced") for name, one in platforms.items()}
        pids = {name: _ours(one) for name, one in platforms.items()}
        rounds = []
        for number in range(DELIVERIES + 1):
            spent = {}
            for name in (OFF, ON) if number % 2 else (ON, OFF):
                began = cpu_s(*pids[name])
                apps[name].ship_good()
                spent[name] = cpu_s(*pids[name]) - began
            rounds.append({name: spent[name] for name in (OFF, ON)})
        yield compared("build-and-deploy", rounds[1:])


def _ours(platform: Platform) -> list[int]:
    layout = Layout.make(Settings(data_dir=platform.stack.data_dir))
    found = orphans.running(layout)
    return [found["api"], found["worker"]]


def main() -> int:
    """Start stacks, measure, stop them."""
    parser = argparse.ArgumentParser(prog="traces", description=__doc__)
    parser.add_argument("--before", type=Path)
    before = parser.parse_args().before
    with bench_platform() as platform:
        for line in requests(platform, before):
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
    for line in deliveries():
        sys.stdout.write(f"{line}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
