"""Webhooks: how many a second, and how long from a commit to the first attempt. `python -m tests.bench.webhooks`.

The stack's own worker sends to receivers in one process; events are written straight into their table, so that nothing
but the delivery is measured. One more webhook leads to somebody who never answers.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from runtime.ids import new_id
from runtime.settings import Settings
from runtime.stack.composition import Composition
from runtime.stack.layout import Layout
from tests.bench.api import bench_platform
from tests.support.arrivals import Arrivals, receivers
from tests.support.platform import Platform
from tests.support.services import until

BACKLOG = 6_000
PER_SECOND = 50
SECONDS = 20
OPEN = {"DELIVERY_EGRESS_NETWORKS": "127.0.0.0/8", "DELIVERY_WEBHOOK_PORTS": "any"}
WRITE = """
INSERT INTO events (id, organization_id, type, resource_type, resource_id, payload)
VALUES (%s, %s, 'deployment.completed', 'deployment', %s, jsonb_build_object('chaos', jsonb_build_object(
    'resource', %s::text, 'number', %s::integer, 'text', repeat('x', 500))))
"""


@contextmanager
def open_to_loopback() -> Iterator[None]:
    """Stacks that are started meanwhile send webhooks to loopback."""
    before = {name: os.environ.get(name) for name in OPEN}
    os.environ.update(OPEN)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


class Writer:
    """Writes events of an organization, each in a transaction of its own or many in one."""

    def __init__(self, platform: Platform) -> None:
        settings = Settings(data_dir=platform.stack.data_dir)
        url = Composition(settings, Layout.make(settings), {}).postgres.url().replace("+psycopg", "")
        self._connection = psycopg.connect(url)
        self._organization = platform.organization["id"]
        self.committed: dict[str, float] = {}
        self.sent: dict[str, tuple[str, int]] = {}

    def close(self) -> None:
        self._connection.close()

    def write(self, count: int = 1, resources: int = 0) -> None:
        """Commit `count` events together; `resources`: of so many resources in turn, 0: each of its own."""
        number = len(self.sent)
        rows = []
        for place in range(number, number + count):
            resource = f"00000000-0000-7000-8000-{place % resources:012x}" if resources else str(new_id())
            event_id = str(new_id())
            rows.append((event_id, self._organization, resource, resource, place))
            self.sent[event_id] = (resource, place)
        with self._connection.cursor() as cursor:
            cursor.executemany(WRITE, rows)
            cursor.execute("SELECT pg_notify('events', '')")
        self._connection.commit()
        moment = time.time()
        self.committed.update((row[0], moment) for row in rows)


def measure(platform: Platform) -> tuple[float, list[float]]:
    """Deliveries a second of a backlog, and milliseconds from commit to first attempt, sorted."""
    with receivers(2, silent=1) as arrivals:
        for port in arrivals.ports:
            body = {"url": f"http://127.0.0.1:{port}/", "events": ["deployment.completed"]}
            platform.api.call("POST", f"/organizations/{platform.organization['id']}/webhooks", body)
        writer = Writer(platform)
        try:
            writer.write()
            _await(arrivals, writer)
            began = time.time()
            writer.write(BACKLOG)
            _await(arrivals, writer)
            rate = BACKLOG / (max(one.at for one in arrivals.seen) - began)
            return rate, _paced(arrivals, writer)
        finally:
            writer.close()


def _paced(arrivals: Arrivals, writer: Writer) -> list[float]:
    before, start = set(writer.sent), time.monotonic()
    for number in range(PER_SECOND * SECONDS):
        time.sleep(max(0.0, start + number / PER_SECOND - time.monotonic()))
        writer.write()
    _await(arrivals, writer)
    first: dict[str, float] = {}
    for one in arrivals.seen:
        if one.port == arrivals.ports[0] and one.event_id not in before:
            first.setdefault(one.event_id, one.at)
    return sorted((at - writer.committed[event_id]) * 1000 for event_id, at in first.items())


def _await(arrivals: Arrivals, writer: Writer) -> None:
    until(lambda: arrivals.taken(arrivals.ports[0]) == len(writer.sent), "the arrival of all events", 120)


def figures() -> tuple[float, list[float]]:
    """On a stack of its own."""
    with open_to_loopback(), bench_platform() as platform:
        return measure(platform)


def main() -> int:
    """Print both figures."""
    rate, times = figures()
    for line in lines(rate, times):
        sys.stdout.write(f"{line}\n")
    return 0


def lines(rate: float, times: list[float]) -> Iterator[str]:
    """In words."""
    yield "webhooks, one worker, with a webhook beside that never answers:"
    yield f"  {rate:.0f} deliveries/s while {BACKLOG:,} wait"
    p99 = times[int(0.99 * len(times)) - 1]
    median = times[len(times) // 2]
    yield (
        f"  from commit to first attempt at {PER_SECOND}/s, ms: median {median:.0f}   p99 {p99:.0f}   "
        f"slowest {times[-1]:.0f}"
    )


if __name__ == "__main__":
    sys.exit(main())
