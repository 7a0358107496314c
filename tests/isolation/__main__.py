"""`make isolation-check`: what strangers' code is denied on this machine, attempt by attempt.

Exit status: 0 all denied, 1 something was reached or could not be tried, 2 nothing can run isolated here.
"""

import asyncio
import logging
import sys
import tempfile
from pathlib import Path

import structlog

from domain.errors import TerminalError
from drivers import isolation
from tests.drivers.shim.helpers import marker
from tests.isolation.attempts import ATTEMPTS, EXCESSES, Excess, Kind
from tests.isolation.world import Outcome, made

PLACES = ("build", "instance")
OUTLIVE = "outlive its own end"
WITHOUT_END = (*(each.name for each in EXCESSES), OUTLIVE)
WIDTH, CELL = 50, 48


def main() -> int:
    """Print the table."""
    try:
        isolation.check()
    except TerminalError as error:
        print(error.message, file=sys.stderr)  # noqa: T201 - a command's answer
        return 2
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))  # the table is the answer
    print("A build and an instance try it on this machine; it takes some minutes.", flush=True)  # noqa: T201 - a program's output
    with tempfile.TemporaryDirectory(prefix="isolation-") as folder:
        found = asyncio.run(_collect(Path(folder)))
    kind = None
    rows = [(each.kind, each.name, each.places) for each in ATTEMPTS]
    rows += [(Kind.LIMITS, name, PLACES) for name in WITHOUT_END]
    rows.sort(key=lambda row: list(Kind).index(row[0]))
    bad = 0
    for each, name, places in rows:
        if each != kind:
            kind = each
            print(f"\n{kind.value:<{WIDTH}}{'from a build':<{CELL}}from an instance")  # noqa: T201 - a program's output
        cells = [_cell(found[place].get(name), place in places) for place in PLACES]
        bad += sum(not cell.startswith(("denied", "-")) for cell in cells)
        print(f"  {name:<{WIDTH - 2}}{cells[0]:<{CELL}}{cells[1]}")  # noqa: T201 - a program's output
    tried = sum(len(places) for _, _, places in rows)
    print(f"\n{tried - bad} of {tried} attempts denied")  # noqa: T201 - a program's output
    return 1 if bad else 0


async def _collect(root: Path) -> dict[str, dict[str, Outcome]]:
    async with made(root) as world:
        found = {"build": dict(await world.from_build()), "instance": dict(await world.from_instance())}
        for excess in EXCESSES:
            found["build"][excess.name] = _ended(excess, await world.taken_from_build(excess, marker()))
            found["instance"][excess.name] = _ended(excess, await world.taken_from_instance(excess, marker()))
        found["build"][OUTLIVE] = _gone(await world.outlived_build())
        found["instance"][OUTLIVE] = _gone(await world.outlived_instance())
        return found


def _ended(excess: Excess, reason: str | None) -> Outcome:
    """The limit that ended it is its own."""
    return Outcome("denied" if reason == excess.reason else "reached", f"ended: {reason}" if reason else "not ended")


def _gone(left: list[int]) -> Outcome:
    return Outcome("reached", f"processes {left} are left") if left else Outcome("denied", "nothing is left of it")


def _cell(outcome: Outcome | None, tried: bool) -> str:
    if not tried:
        return "-"
    if outcome is None:
        return "NOT TRIED"
    words = f": {outcome.words}" if outcome.words else ""
    denied = outcome.verdict == "denied"
    text = f"{outcome.verdict if denied else outcome.verdict.upper()}{words}".splitlines()[0]
    return text if len(text) < CELL or not denied else f"{text[: CELL - 5]}..."


if __name__ == "__main__":
    sys.exit(main())
