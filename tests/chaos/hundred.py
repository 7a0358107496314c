"""`python -m tests.chaos.hundred [--count 100]`: a 202 is kept, also when Temporal hangs while it is given.

Ten projects; a hundred build-and-deploys are posted while Temporal is stopped (SIGSTOP), then it goes on, and every
one of them must complete, once.
"""

import argparse
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from typing import Any

from tests.chaos.frozen import frozen
from tests.chaos.invariants import settled
from tests.chaos.records import Records
from tests.chaos.watching import LOOK_SECONDS
from tests.support.platform import App, Platform

PROJECTS = 10
POSTERS = 8
LIMIT_SECONDS = 480.0
ANSWER_SECONDS = 2.0
SAY_EVERY_SECONDS = 10.0
LOG_TAIL = 20_000

# Nothing to build: the sources are the artifact. So what is measured is the engine.
SPEC: dict[str, Any] = {
    "build": {"steps": [], "output": "."},
    "rollout": {"scale_down_delay": 0, "verify_seconds": 0},
}


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


@contextmanager
def stack() -> Iterator[tuple[Platform, Records]]:
    """A stack of our own, removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="de-hundred-", dir="/tmp"))
    folder.chmod(0o755)  # PostgreSQL runs as another user when we are root
    try:
        platform = Platform(folder / "data", folder / "repositories")
        records = Records(platform.stack.data_dir)
        try:
            yield platform, records
        finally:
            records.close()
            platform.close()
    finally:
        rmtree(folder, ignore_errors=True)


def prepare(platform: Platform, count: int) -> list[App]:
    """Projects with one commit each."""
    apps = [platform.app(f"p{number}") for number in range(min(PROJECTS, count))]
    for app in apps:
        app.repository.commit("1.0.0", files={"delivery.yaml": app.spec(**SPEC)})
    return apps


def post(apps: Sequence[App], count: int) -> tuple[list[str], float]:
    """Ask for `count` deliveries; returns the operations and the longest time an answer took, in seconds."""

    def one(number: int) -> tuple[str, float]:
        app = apps[number % len(apps)]
        began = time.monotonic()
        accepted = app.api.build_and_deploy(app.feature["id"], f"1.{number}.0")  # raises unless it is a 202
        return accepted.operation_id, time.monotonic() - began

    with ThreadPoolExecutor(POSTERS) as posters:
        answers = list(posters.map(one, range(count)))
    return [operation_id for operation_id, _ in answers], max(seconds for _, seconds in answers)


def await_all(records: Records, operations: Sequence[str], limit_s: float) -> Counter[str]:
    """Wait until none is open; returns how many ended how."""
    deadline, said = time.monotonic() + limit_s, time.monotonic()
    while True:
        rows = records.all("SELECT status FROM operations WHERE id = ANY(%s::uuid[])", list(operations))
        states = Counter(str(row["status"]) for row in rows)
        if not states.keys() - {"completed", "failed", "cancelled"} or time.monotonic() > deadline:
            return states
        if time.monotonic() - said > SAY_EVERY_SECONDS:
            said = time.monotonic()
            say(f"  {dict(states)}")
        time.sleep(LOOK_SECONDS * 25)


def tell_where(records: Records, operations: Sequence[str]) -> None:
    """Where those stand that did not complete, and the end of the worker's log: both are gone with the stack."""
    query = """SELECT id, status, current_step, error, now() - updated_at AS silent FROM operations
        WHERE id = ANY(%s::uuid[]) AND status <> 'completed' ORDER BY updated_at LIMIT 20"""
    for row in records.all(query, list(operations)):
        say(f"  {row['id']} {row['status']} at {row['current_step']!r}, silent for {row['silent']}: {row['error']}")
    say(records.layout.log("worker").read_text(errors="replace")[-LOG_TAIL:])


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="tests.chaos.hundred", description=__doc__)
    parser.add_argument("--count", type=int, default=100)
    count: int = parser.parse_args(arguments).count
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the stack is taken down too
    with stack() as (platform, records):
        apps = prepare(platform, count)
        with frozen(records, "temporal"):
            operations, slowest = post(apps, count)
            say(f"Temporal is stopped: {len(set(operations))} of {count} answered 202, the slowest in {slowest:.2f} s")
        began = time.monotonic()
        say("Temporal goes on")
        states = await_all(records, operations, LIMIT_SECONDS)
        took = time.monotonic() - began
        if states.keys() - {"completed"}:
            tell_where(records, operations)
        wrong = [fault for app in apps for fault in settled(records, str(app.project["id"]))]
    say(f"{states['completed']} of {count} completed after {took:.1f} s ({dict(states)})")
    for fault in wrong:
        say(f"BROKEN  {fault}")
    good = states["completed"] == count == len(set(operations)) and not wrong and slowest < ANSWER_SECONDS
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
