"""What one changed, checked in a minute: `make check`. It says what it ran and what it left out.

Changed is whatever differs from where this branch left `main`; on `main` itself from the last commit, or, with nothing
changed since, what that commit changed. `make test` checks everything.
"""

import os
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator

from tests.gate import PYTEST, PYTHON, ROOT, SHORT, Command, beside, say
from tests.support import budget, spent
from tests.support.touched import TOO_LONG, touched

BUDGET_S = 35
LIMIT_S = 600.0


def main() -> int:
    """The exit code is for the shell."""
    began, since = time.monotonic(), base()
    changed = sorted(_changed(since))
    say(f"changed since {since[:10]}: {len(changed)} files")
    chosen = touched(changed, ROOT, _packages(), ROOT / ".import_linter_cache")
    left_out = [path for path in chosen if path.startswith(TOO_LONG)]
    tests = [path for path in chosen if path not in left_out]
    environment = {**os.environ, budget.SETTING: str(BUDGET_S)}
    runs = [*_lint(changed)]
    if tests:
        runs.append((*PYTEST, "-p", budget.__name__, "-m", SHORT, *tests))
    with tempfile.TemporaryDirectory() as folder:
        took = beside(runs, LIMIT_S, {**environment, spent.FOLDER: folder})
    for path in tests:
        say(f"ran      {path}: {chosen[path].name.lower().replace('_', ' ')}")
    for path in left_out:
        say(f"NOT RUN  {path}: takes too long for this; make test PYTEST={path}")
    failed = [command for command, _, code in took if code]
    say(f"{time.monotonic() - began:.0f} s; {'failed' if failed else 'green'}; make test has the rest")
    return 1 if failed else 0


def base() -> str:
    """The commit that changes are counted from."""
    head = _git("rev-parse", "HEAD")
    for main_branch in ("main", "origin/main"):
        common = _git("merge-base", "HEAD", main_branch, check=False)
        if common and common != head:
            return common
    return head if _git("status", "--porcelain") else _git("rev-parse", "HEAD~1")


def _changed(since: str) -> Iterator[str]:
    yield from _git("diff", "--name-only", "--diff-filter=d", since).splitlines()
    yield from _git("ls-files", "--others", "--exclude-standard").splitlines()


def _lint(changed: list[str]) -> Iterator[Command]:
    """Those with caches of their own look at everything."""
    files = [path for path in changed if path.endswith(".py")]
    if files:
        yield (PYTHON, "-m", "ruff", "check", "--force-exclude", *files)
        yield (PYTHON, "-m", "ruff", "format", "--check", "--force-exclude", *files)
        yield (PYTHON, "-m", "mypy")
        yield (PYTHON, "-c", "from importlinter.cli import lint_imports_command as run; run()")
    yield (PYTHON, "-m", "tests.vocabulary")


def _packages() -> list[str]:
    found = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["root_packages"]
    return [str(each) for each in found]


def _git(*words: str, check: bool = True) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=check, timeout=60)
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
