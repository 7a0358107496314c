"""Receivers in a process of their own, and what arrived at them."""

import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Arrival:
    """One request. `good`: it was answered with a success."""

    port: int
    at: float
    event_id: str
    retry_count: int
    resource: str
    number: int
    good: bool


class Arrivals:
    """Grows while the receivers run."""

    def __init__(self, ports: Sequence[int]) -> None:
        self.ports = ports
        self.seen: list[Arrival] = []

    def read(self, lines: Iterator[str]) -> None:
        for line in lines:
            port, at, event_id, retry_count, resource, number, good = line.split()
            arrival = Arrival(int(port), float(at), event_id, int(retry_count), resource, int(number), good == "1")
            self.seen.append(arrival)

    def taken(self, port: int) -> int:
        """How many different events a receiver has taken."""
        return len({one.event_id for one in list(self.seen) if one.port == port and one.good})

    def complaints(self, sent: Mapping[str, tuple[str, int]]) -> list[str]:
        """What does not hold: every event at every receiver, in the order of its resource, and nothing else.

        Args:
            sent: by event id, its resource and its number, which rises.
        """
        faults = []
        for port in self.ports:
            here = [one for one in self.seen if one.port == port]
            missing = sent.keys() - {one.event_id for one in here if one.good}
            faults += [f"{port}: {len(missing)} events never arrived"] if missing else []
            strange = [one for one in here if sent.get(one.event_id) != (one.resource, one.number)]
            faults += [f"{port}: {len(strange)} requests that nobody sent"] if strange else []
            faults += _out_of_order(port, here)
        return faults


def _out_of_order(port: int, here: Sequence[Arrival]) -> list[str]:
    """A resource's events are seen in order for the first time, and none before the one before it was taken."""
    numbers: dict[str, list[int]] = defaultdict(list)
    seen: set[str] = set()
    for one in here:
        if one.good and one.event_id not in seen:
            seen.add(one.event_id)
            numbers[one.resource].append(one.number)
    wrong = [resource for resource, found in numbers.items() if found != sorted(found)]
    return [f"{port}: events of {len(wrong)} resources out of order"] if wrong else []


@contextmanager
def receivers(count: int, *, fail_every: int = 0, silent: int = 0) -> Iterator[Arrivals]:
    """`count` receivers on ports of their own; the last `silent` ones never answer."""
    options = ["--count", str(count), "--fail-every", str(fail_every), "--silent", str(silent)]
    command = [sys.executable, "-m", "tests.support.hook_process", "receive", *options]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        arrivals = Arrivals([int(port) for port in process.stdout.readline().split()])
        reader = threading.Thread(target=arrivals.read, args=(iter(process.stdout),), daemon=True)
        reader.start()
        yield arrivals
    finally:
        process.kill()
        process.wait(60)
        reader.join(60)
        process.stdout.close()
