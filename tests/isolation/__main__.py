"""`make isolation-check`: what strangers' code is denied on this machine, attempt by attempt.

Exit status: 0 all denied, 1 something was reached or could not be tried, 2 nothing can run isolated here.
"""

import asyncio
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from domain.errors import TerminalError
from drivers import isolation
from tests.isolation.attempts import ATTEMPTS
from tests.isolation.world import Outcome, made

PLACES = ("build", "instance")


def main() -> int:
    """Print the table."""
    try:
        isolation.check()
    except TerminalError as error:
        print(error.message, file=sys.stderr)  # noqa: T201 - a command's answer
        return 2
    with tempfile.TemporaryDirectory(prefix="isolation-") as folder:
        found = asyncio.run(_collect(Path(folder)))
    kind = None
    bad = 0
    for attempt in ATTEMPTS:
        if attempt.kind != kind:
            kind = attempt.kind
            print(f"\n{kind.value:<46}{'from a build':<34}from an instance")  # noqa: T201
        cells = [_cell(found[place].get(attempt.name), place in attempt.places) for place in PLACES]
        bad += sum(not cell.startswith(("denied", "-")) for cell in cells)
        print(f"  {attempt.name:<44}{cells[0]:<34}{cells[1]}")  # noqa: T201
    tried = sum(len(attempt.places) for attempt in ATTEMPTS)
    print(f"\n{tried - bad} of {tried} attempts denied")  # noqa: T201
    return 1 if bad else 0


async def _collect(root: Path) -> dict[str, Mapping[str, Outcome]]:
    async with made(root) as world:
        return {"build": await world.from_build(), "instance": await world.from_instance()}


def _cell(outcome: Outcome | None, tried: bool) -> str:
    if not tried:
        return "-"
    if outcome is None:
        return "NOT TRIED"
    words = f": {outcome.words}" if outcome.words else ""
    verdict = outcome.verdict if outcome.verdict == "denied" else outcome.verdict.upper()
    return f"{verdict}{words}".splitlines()[0][:32]


if __name__ == "__main__":
    sys.exit(main())
