"""Everything that must be green: `make test`. Prints where the time went; without tests where lint fails.

The tests run in portions beside each other, the longest first: much of their time is waiting. `JOBS=1 make test` runs
one after the other. Those that start no strangers' code have a /tmp of their own, in memory where that is possible
(tests/support/own_tmp.py).

What takes longer has commands of its own: `make test-deep` (the long forms of tests whose short form is in `make test`,
and heavy variants; `.ci/run` runs both), and `make test-long` (power cuts, full disks, lost databases).
"""

import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.support import spent
from tests.support.deep import SETTING
from tests.support.portions import PORTIONS, Portion, dealt, is_on_disk
from tests.support.time_table import table

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable
Command = tuple[str, ...]
Took = tuple[Command, float, int]
LINT: tuple[Command, ...] = (
    (PYTHON, "-m", "ruff", "check", "."),
    (PYTHON, "-m", "ruff", "format", "--check", "."),
    (PYTHON, "-m", "mypy"),
    # through the interpreter: a console script's first line breaks in a path with a space
    (PYTHON, "-c", "from importlinter.cli import lint_imports_command as run; run()"),
    (PYTHON, "-m", "tests.vocabulary"),
    (PYTHON, "-m", "tests.spectral"),
    (PYTHON, "-m", "tests.compatibility"),
)
DEEP_LINT: tuple[Command, ...] = tuple((PYTHON, "-m", "tests.spectral", each) for each in ("--whole", "--older"))
PYTEST: Command = (PYTHON, "-m", "pytest", "-q", "-p", "tests.support.spent")
IN_MEMORY: Command = ("-p", "tests.support.own_tmp")
SHORT: Final = "not long and not deep"
DEEP: Final = "(deep or shortened) and not long"
LONG: Final = "long"


def portions(marks: str, wanted: Sequence[Portion] = PORTIONS) -> tuple[Command, ...]:
    """The commands of all portions, for the tests that have these marks."""
    return tuple((*PYTEST, *(() if is_on_disk(portion) else IN_MEMORY), "-m", marks, *portion) for portion in wanted)


def some(arguments: Sequence[str]) -> tuple[Command, ...]:
    """Folders alone: their tests side by side; with options or files: one pytest, which has them all."""
    if all((ROOT / argument).is_dir() for argument in arguments):
        return portions(SHORT, dealt(arguments, LANES))
    return ((*PYTEST, *arguments),)


TESTS: tuple[Command, ...] = portions(SHORT)
DEEP_TESTS: tuple[Command, ...] = portions(DEEP)
LANES = 4  # on two processors
LOOK_EVERY_S = 0.2
LIMIT_S = 2700.0
LONG_LIMIT_S = 3 * 3600.0


def main(arguments: list[str]) -> int:
    """Run the checks. Further arguments are tests to run in place of the whole, without lint: folders, or pytest's own.

    Returns:
        The exit code of the first check that failed, else 0.
    """
    lint, limit_s, environment = LINT, LIMIT_S, dict[str, str]()
    if arguments == ["--lint-only"]:
        tests: tuple[Command, ...] = ()
    elif arguments == ["--long"]:
        lint, limit_s, tests = (), LONG_LIMIT_S, ((*PYTEST, "-m", LONG),)
    elif arguments == ["--deep"]:
        lint, environment, tests = DEEP_LINT, {SETTING: "1"}, DEEP_TESTS
    elif arguments:
        lint, tests = (), some(arguments)
    else:
        tests = TESTS
    took: list[Took] = []
    with tempfile.TemporaryDirectory() as folder:
        environment[spent.FOLDER] = folder
        for stage in (lint, tests):
            done = beside(stage, limit_s, {**os.environ, **environment})
            took += _without_empty(done) if stage is DEEP_TESTS else done
            if any(code for _, _, code in took):
                break
        for line in table(Path(folder).iterdir()):
            say(line)
    for command, seconds, _ in took:
        say(f"{seconds:7.1f} s  {_name(command)}")
    failed = [(command, code) for command, _, code in took if code]
    say("all green" if not failed else f"failed: {', '.join(_name(command) for command, _ in failed)}")
    return failed[0][1] if failed else 0


def _without_empty(took: Sequence[Took]) -> list[Took]:
    """Portions that have no deep tests are no failure, unless none has any."""
    found = [one for one in took if one[2] != pytest.ExitCode.NO_TESTS_COLLECTED]
    return found or list(took)


class Run:
    """A check under way. Its output goes to ours as it comes, or waits in a file for its end."""

    def __init__(self, command: Command, environment: Mapping[str, str], *, alone: bool) -> None:
        self.command = command
        self._began = time.monotonic()
        self._output = None if alone else tempfile.TemporaryFile()  # noqa: SIM115 - closed by `end`
        errors = None if alone else subprocess.STDOUT
        self._process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=self._output, stderr=errors)

    def is_over(self) -> bool:
        return self._process.poll() is not None

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def end(self) -> Took:
        """Print what it said; what it took."""
        seconds, code = time.monotonic() - self._began, self._process.wait()
        if self._output:
            self._output.seek(0)
            say(f"== {_name(self.command)}: {seconds:.0f} s\n{self._output.read().decode(errors='replace')}")
            self._output.close()
        return self.command, seconds, code


def beside(commands: Sequence[Command], limit_s: float, environment: Mapping[str, str]) -> list[Took]:
    """Run commands side by side, as many as there are lanes; whoever is not over at the limit is killed."""
    lanes = max(1, int(os.environ.get("JOBS") or LANES))
    waiting, running, took = deque(commands), list[Run](), list[Took]()
    deadline = time.monotonic() + limit_s
    try:
        while waiting or running:
            while waiting and len(running) < lanes:
                running.append(Run(waiting.popleft(), environment, alone=len(commands) == 1))
            if time.monotonic() > deadline:
                for run in running:
                    run.kill()
            for run in [run for run in running if run.is_over()]:
                running.remove(run)
                took.append(run.end())
            time.sleep(LOOK_EVERY_S)
    except KeyboardInterrupt:  # they were interrupted as well, and are taking their servers down
        for run in running:
            run.end()
        raise
    return took


def say(line: str) -> None:
    """One line, in order with what the checks print."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _name(check: Command) -> str:
    if check[1] == "-c":
        return "lint-imports"
    words = (
        " ".join(check[2:])
        .removeprefix(" ".join(PYTEST[2:]))
        .replace(" ".join(IN_MEMORY), "")
        .replace(f"-m {SHORT}", "")
        .replace(f"-m {DEEP}", "")
        .strip()
    )
    return words[:60] or "pytest"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
