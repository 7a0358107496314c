"""Everything that must be green: `make test`. Prints how long each check took; stops at the first that fails."""

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable
LINT: tuple[tuple[str, ...], ...] = (
    (PYTHON, "-m", "ruff", "check", "."),
    (PYTHON, "-m", "ruff", "format", "--check", "."),
    (PYTHON, "-m", "mypy"),
    # through the interpreter: a console script's first line breaks in a path with a space
    (PYTHON, "-c", "from importlinter.cli import lint_imports_command as run; run()"),
)
_LIMIT_S = 1800


def main(arguments: list[str]) -> int:
    """Run the checks; further arguments go to pytest.

    Returns:
        The exit code of the first check that failed, else 0.
    """
    lint_only = arguments[:1] == ["--lint-only"]
    tests = () if lint_only else ((PYTHON, "-m", "pytest", "-q", *arguments),)
    took: list[tuple[str, float]] = []
    code = 0
    for check in (*LINT, *tests):
        began = time.monotonic()
        code = subprocess.run(check, cwd=ROOT, check=False, timeout=_LIMIT_S).returncode
        took.append((_name(check), time.monotonic() - began))
        if code != 0:
            break
    for name, seconds in took:
        say(f"{seconds:7.1f} s  {name}")
    say("all green" if code == 0 else f"failed: {took[-1][0]}")
    return code


def say(line: str) -> None:
    """One line, in order with what the checks print."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _name(check: tuple[str, ...]) -> str:
    words = "lint-imports" if check[1] == "-c" else " ".join(check[2:])
    return words[:60]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
