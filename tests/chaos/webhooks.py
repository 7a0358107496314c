"""`python -m tests.chaos.webhooks [--events 5000]`: events arrive while the worker and Temporal are killed in turn.

A stack of its own, three receivers, of which every one refuses some first attempts, so that retries go through
Temporal. Exits 1 when an event is missing, out of the order of its resource, or was never sent.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Iterator

from runtime.settings import Settings
from runtime.stack import orphans
from runtime.stack.layout import Layout
from tests.bench.api import bench_platform
from tests.bench.webhooks import Writer, open_to_loopback
from tests.support.arrivals import Arrivals, receivers
from tests.support.platform import Platform
from tests.support.services import until

VICTIMS = ("worker", "temporal")
RECEIVERS = 3
PER_SECOND = 60
KILL_EVERY_S = 12.0
RESOURCES = 200
FAIL_EVERY = 97
# Leases (25 s), workers that start again, retries of retries (5 s, then 5 minutes) and what waits behind them.
ARRIVE_LIMIT_S = 420.0


def carry_out(platform: Platform, arrivals: Arrivals, count: int) -> tuple[list[str], dict[str, int]]:
    """What does not hold, and how often each was killed."""
    for port in arrivals.ports:
        body = {"url": f"http://127.0.0.1:{port}/", "events": ["deployment.completed"]}
        platform.api.call("POST", f"/organizations/{platform.organization['id']}/webhooks", body)
    writer, killed = Writer(platform), dict.fromkeys(VICTIMS, 0)
    try:
        start = time.monotonic()
        due = _kills(platform, killed)
        for number in range(count):
            time.sleep(max(0.0, start + number / PER_SECOND - time.monotonic()))
            writer.write(resources=RESOURCES)
            if time.monotonic() > start + KILL_EVERY_S * (sum(killed.values()) + 1):
                next(due)
        until(lambda: all(arrivals.taken(port) == count for port in arrivals.ports), "all arrivals", ARRIVE_LIMIT_S)
    except AssertionError as error:
        return [str(error), *arrivals.complaints(writer.sent)], killed
    finally:
        writer.close()
    return arrivals.complaints(writer.sent), killed


def _kills(platform: Platform, killed: dict[str, int]) -> Iterator[str]:
    layout = Layout.make(Settings(data_dir=platform.stack.data_dir))
    while True:
        for victim in VICTIMS:
            pid = orphans.running(layout).get(victim)
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
                killed[victim] += 1
            yield victim


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="tests.chaos.webhooks", description=__doc__)
    parser.add_argument("--events", type=int, default=5000)
    count = parser.parse_args().events
    began = time.monotonic()
    with open_to_loopback(), bench_platform() as platform, receivers(RECEIVERS, fail_every=FAIL_EVERY) as arrivals:
        faults, killed = carry_out(platform, arrivals, count)
        requests, repeated = len(arrivals.seen), len(arrivals.seen) - RECEIVERS * count
    words = ", ".join(f"{victim} killed {times} times" for victim, times in killed.items())
    sys.stdout.write(
        f"{count} events for {RECEIVERS} webhooks, {words}: {requests} requests, {repeated} of them repeated; "
        f"{time.monotonic() - began:.0f} s\n"
    )
    sys.stdout.writelines(f"BROKEN  {fault}\n" for fault in faults)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
