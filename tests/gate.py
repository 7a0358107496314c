"""Everything that must be green: `make test`. Prints how long each check took; stops at the first stage that fails.

Much of the time is waiting, so the tests of the API and those of the whole stack run beside the others; their output
follows the others'. `JOBS=1 make test` runs one after the other. Tests marked `long` (power cuts, full disks, lost
databases) have a command of their own: `make test-long`.
"""

import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable
Command = tuple[str, ...]
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
# Run beside the others, so that the two take about as long.
BESIDE = ("api", "drivers", "isolation")
SHORT: Command = (PYTHON, "-m", "pytest", "-q", "-m", "not long")
TESTS: tuple[Command, ...] = (
    (*SHORT, *(f"--ignore=tests/{folder}" for folder in ("e2e", *BESIDE))),
    (*SHORT, *(f"tests/{folder}" for folder in BESIDE)),
    (*SHORT, "tests/e2e"),
)
LONG: tuple[Command, ...] = ((PYTHON, "-m", "pytest", "-q", "-m", "long"),)
LIMIT_S = 2700.0
LONG_LIMIT_S = 3 * 3600.0


def main(arguments: list[str]) -> int:
    """Run the checks; further arguments go to one pytest of their own, in place of the whole.

    Returns:
        The exit code of the first check that failed, else 0.
    """
    lint = LINT
    if arguments[:1] == ["--lint-only"]:
        tests: tuple[Command, ...] = ()
    elif arguments[:1] == ["--long"]:
        lint, tests = (), LONG
    elif arguments:
        tests = ((PYTHON, "-m", "pytest", "-q", *arguments),)
    else:
        tests = TESTS if os.environ.get("JOBS", "2") != "1" else (SHORT,)
    took: list[tuple[Command, float, int]] = []
    limit_s = LONG_LIMIT_S if tests is LONG else LIMIT_S
    for stage in (*((check,) for check in lint), tests):
        took += _together(stage, limit_s)
        if any(code for _, _, code in took):
            break
    for command, seconds, _ in took:
        say(f"{seconds:7.1f} s  {_name(command)}")
    failed = [(command, code) for command, _, code in took if code]
    say("all green" if not failed else f"failed: {', '.join(_name(command) for command, _ in failed)}")
    return failed[0][1] if failed else 0


def _together(commands: tuple[Command, ...], limit_s: float) -> list[tuple[Command, float, int]]:
    """Run commands side by side: the first one's output as it comes, the others' after it."""
    began = time.monotonic()
    took: list[tuple[Command, float, int]] = []
    with ExitStack() as stack:
        outputs = [stack.enter_context(tempfile.TemporaryFile()) if number else None for number in range(len(commands))]
        running = [
            subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT if output else None)
            for command, output in zip(commands, outputs, strict=True)
        ]
        for command, process, output in zip(commands, running, outputs, strict=True):
            code = _wait(process, limit_s - (time.monotonic() - began))
            took.append((command, time.monotonic() - began, code))
            if output:
                output.seek(0)
                sys.stdout.write(output.read().decode(errors="replace"))
                sys.stdout.flush()
    return took


def _wait(process: subprocess.Popen[bytes], seconds: float) -> int:
    try:
        return process.wait(max(1.0, seconds))
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait() or 1


def say(line: str) -> None:
    """One line, in order with what the checks print."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _name(check: Command) -> str:
    words = "lint-imports" if check[1] == "-c" else " ".join(check[2:])
    return words[:60]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
