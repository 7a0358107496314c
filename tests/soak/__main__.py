"""`make soak`: rollout after rollout of every strategy under load; not one request may fail.

.venv/bin/python -m tests.soak [--rollouts N] [--rps N] [--minutes N]
"""

import argparse
import itertools
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench.__main__ import say
from tests.support.load_process import load_on
from tests.support.platform import App, Platform

SPEC: dict[str, Any] = {
    "service": {"replicas": 2},
    "rollout": {"scale_down_delay": 1, "verify_seconds": 0.5, "ramp": {"step_percent": 40, "interval": 30}},
    "analysis": {"duration": 30, "min_requests": 50, "compare": ["errors"], "min_effect": 4, "pass_early": True},
}
STRATEGIES: tuple[dict[str, Any], ...] = (
    {"deployment_strategy": "blue_green"},
    {"deployment_strategy": "rolling"},
    {"deployment_strategy": "canary", "canary_percentage": 50},
    {"deployment_strategy": "ramp"},
)
PER_LOAD = 8  # rollouts during one run of the load generator, which is bounded itself


def main() -> int:
    """Start a stack, roll out again and again, stop it; 1 when a request failed or a rollout did not succeed."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--rollouts", type=int, default=100)
    parser.add_argument("--rps", type=float, default=1000)
    parser.add_argument("--minutes", type=float, default=30, help="stop after so long in any case")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="de-soak-", dir="/tmp"))
    folder.chmod(0o755)  # PostgreSQL may run as another user when we are root
    platform = Platform(folder / "data", folder / "repositories")
    try:
        return soak(
            platform.app("soak", example="hello-c"),
            options.rollouts,
            options.rps,
            time.monotonic() + 60 * options.minutes,
        )
    finally:
        platform.close()
        shutil.rmtree(folder, ignore_errors=True)


def soak(app: App, rollouts: int, rps: float, end: float) -> int:
    """Roll out until the number or the time is reached."""
    app.ship_good(spec=SPEC)
    done = requests = 0
    strategies = itertools.cycle(STRATEGIES)
    while done < rollouts and time.monotonic() < end:
        with load_on(app.service, rps=rps) as load:
            batch = min(PER_LOAD, rollouts - done)
            for strategy in itertools.islice(strategies, batch):
                last = app.ship_good(spec=SPEC, **strategy)
            app.api.rollback(last.deployment["id"], "soak")  # onto what still runs, or what has to be started
            summary = load.stop()
        done, requests = done + batch, requests + summary["requests"]
        say(f"{done} rollouts, {requests} requests, {summary['failures']} failed, p99 {summary['p99_ms']:.0f} ms")
        if summary["failures"]:
            say(f"failed: {summary['examples']}")
            return 1
    say(f"{done} rollouts of {len(STRATEGIES)} strategies under {rps:g} requests/s: {requests} requests, none failed")
    return 0 if done == rollouts else 1


if __name__ == "__main__":
    sys.exit(main())
