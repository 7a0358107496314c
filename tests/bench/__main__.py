"""`make bench`: figures of this machine, from a stack of its own. Prints them; asserts nothing about speed.

.venv/bin/python -m tests.bench [--rounds N]
"""

import argparse
import math
import statistics
import sys
from collections.abc import Sequence

from tests.bench import metering, signing, traces
from tests.bench.api import bench_platform, report, report_fast_paths
from tests.bench.auth import costs
from tests.bench.codec import codec_times
from tests.bench.delivery_metrics import query_times
from tests.bench.lists import list_times
from tests.bench.rollback import RPS, WAYS, Bench
from tests.bench.router import switch_times
from tests.bench.webhooks import figures, lines


def main() -> int:
    """Start a stack, measure, stop it."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="rollbacks of each kind")
    rounds = parser.parse_args().rounds
    say("authentication and counting, median cost per request in process:")
    for words, microseconds in costs():
        say(f"  {words:46} {microseconds:6.0f} us")
    with bench_platform() as platform:
        bench = Bench(platform)
        say(f"rollback at {RPS} requests/s, ms until the last request of the bad release, {rounds} times each:")
        for words, way in WAYS:
            say(f"  {words:36} {summary(bench.measure(way, rounds))}")
        bench.close()
        say("signatures, and who calls an activity, median cost in process:")
        for words, microseconds in signing.costs(platform):
            say(f"  {words:46} {microseconds:6.0f} us")
    with bench_platform() as platform:
        say("reads of one API process on one core, against a bare route with the same body and authentication:")
        report(platform)
        say("the hand-made fast ways, GET of a deployment with all and without one:")
        report_fast_paths(platform)
        say("metrics, CPU of an API process for GET of a deployment, with them and without, by turns:")
        say(f"  {metering.cost(platform)}; the layer alone adds {metering.layer()}")
        say("lists, median ms of the first page and of one in the middle by its cursor:")
        for count, first, middle in list_times(platform):
            say(f"  {count:9,} rows   {first:6.1f}   {middle:6.1f}")
        say("delivery metrics, median ms of an answer:")
        for count, days, milliseconds in query_times(platform):
            say(f"  {count:9,} deployments in 90 days, of the last {days:2}   {milliseconds:6.0f}")
    say("traces, CPU milliseconds of the processes that make them, with and without by turns:")
    with bench_platform() as platform:
        for cost in traces.requests(platform):
            say(str(cost))
    for cost in traces.deliveries():
        say(str(cost))
    for line in lines(*figures()):
        say(line)
    say("a change of routes alone under 1000 requests/s, ms until the first answer by the new weights:")
    say(f"  {summary(sorted(switch_times(30)))}")
    say("encryption of histories, microseconds a payload, in and out:")
    for size, sealing, opening in codec_times():
        say(f"  {size:9,} bytes  {sealing:6.1f}   {opening:6.1f}")
    return 0


def summary(times: Sequence[float]) -> str:
    """Sorted milliseconds in a line; p99 is the nearest rank, so of less than a hundred the slowest."""
    p99 = times[math.ceil(0.99 * len(times)) - 1]
    return f"median {statistics.median(times):4.0f}   p99 {p99:4.0f}   slowest {times[-1]:4.0f}"


def say(line: str) -> None:
    """One line, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
