"""`python -m tests.chaos [--short] [--only worker,postgres] [--steps build,rollout:verify]`: the table of kills.

Starts a stack of its own on free ports, delivers one version a kill, and exits 1 when an invariant does not hold.
"""

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.arena import REPLICAS, Arena
from tests.chaos.moments import Moment, moments
from tests.chaos.scenario import Outcome, run_scenario
from tests.chaos.table import complaints, line, summary, table
from tests.chaos.victims import Victim, meaningful

LIMIT_SECONDS = 14 * 60.0

# The most telling ones, for a quick look: each process once, where it hurts most.
SHORT = (
    (Victim.WORKER, "rollout:shift"),
    (Victim.API, "source"),
    (Victim.TEMPORAL, "test"),
    (Victim.POSTGRES, "record"),
    (Victim.ENVOY, "rollout:verify"),
    (Victim.INSTANCE, "rollout:start"),
    (Victim.BUILD, "build"),
    (Victim.POSTGRES, "rollout:promote"),
)
Kill = tuple[Victim, Moment]


def say(text: str) -> None:
    """Print at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


@contextmanager
def arena() -> Iterator[Arena]:
    """A stack in a short folder of its own, removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="de-chaos-", dir="/tmp"))
    folder.chmod(0o755)  # PostgreSQL runs as another user when we are root
    try:
        made = Arena(folder)
        try:
            yield made
        finally:
            made.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def kills(options: argparse.Namespace) -> list[Kill]:
    """What to do, step by step: so each process has time to live between two of its deaths."""
    every = moments(REPLICAS)
    if options.short:
        by_name = {moment.name: moment for moment in every}
        return [(victim, by_name[name]) for victim, name in SHORT]
    victims = [Victim(name) for name in options.only.split(",") if name] or list(Victim)
    steps = {name for name in options.steps.split(",") if name} or {moment.name for moment in every}
    if unknown := steps - {moment.name for moment in every}:
        raise SystemExit(f"no such step: {', '.join(sorted(unknown))}; there are {', '.join(map(str, every))}")
    return [(v, m) for m in every if m.name in steps for v in victims if meaningful(v, m)]


def carry_out(stage: Arena, wanted: Sequence[Kill], limit_s: float) -> list[Outcome]:
    """One kill after another until the time is over."""
    deadline, outcomes = time.monotonic() + limit_s, list[Outcome]()
    for number, (victim, moment) in enumerate(wanted, 1):
        if time.monotonic() > deadline:
            break
        outcome = run_scenario(stage, victim, moment)
        outcomes.append(outcome)
        say(f"[{number}/{len(wanted)}] {line(outcome)}")
        for fault in complaints([outcome]):
            say(f"        {fault}")
    return outcomes


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="tests.chaos", description=__doc__)
    parser.add_argument("--short", action="store_true", help="only the most telling kills")
    parser.add_argument("--only", default="", help=f"processes: {','.join(Victim)}")
    parser.add_argument("--steps", default="", help="steps, e.g. build,rollout:shift")
    wanted = kills(parser.parse_args(arguments))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the stack is taken down too
    began = time.monotonic()
    say(f"{len(wanted)} kills; starting a stack")
    with arena() as stage:
        outcomes = carry_out(stage, wanted, LIMIT_SECONDS - (time.monotonic() - began))
    say("\n" + table(outcomes) + "\n")
    for fault in complaints(outcomes):
        say(f"BROKEN  {fault}")
    say(f"{summary(outcomes, len(wanted))}; {time.monotonic() - began:.0f} s")
    return 0 if len(outcomes) == len(wanted) and not any(o.wrong for o in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
