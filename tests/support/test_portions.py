"""Nothing is left out: what `make test`, `make test-deep` and `make test-long` run is every test."""

import json
import os
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.gate import DEEP, LONG, PYTHON, ROOT, SHORT
from tests.support import collected
from tests.support.portions import PORTIONS, Portion, dealt

MARKERS = ("long", "deep", "shortened")


@pytest.mark.deep
@pytest.mark.timeout(900)
def test_every_test_is_in_one_portion_or_in_the_deep_or_the_long_run(tmp_path: Path) -> None:
    environment = {**os.environ, collected.FILE: str(tmp_path / "collected")}
    argv = [PYTHON, "-m", "pytest", "--collect-only", "-qq", "-p", collected.__name__]
    done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    found: dict[str, list[str]] = dict(json.loads((tmp_path / "collected").read_text()))
    assert len(found) > 5000
    short, deep, long = (
        {test for test, marks in found.items() if says(expression, marks)} for expression in (SHORT, DEEP, LONG)
    )
    assert short | deep | long == found.keys()
    assert not (short | deep) & long
    homes = Counter(test for test in short for portion in PORTIONS if has(portion, test))
    assert set(homes) == short
    assert set(homes.values()) == {1}, "in two portions"


def test_every_path_of_a_portion_exists() -> None:
    paths = {each.removeprefix("--ignore=") for portion in PORTIONS for each in portion}
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_files_of_a_folder_are_dealt_once_each() -> None:
    hands = dealt(["tests/domain", "tests/domain/canary"], 4)
    files = {str(path.relative_to(ROOT)) for path in (ROOT / "tests/domain").rglob("test_*.py")}
    assert len(hands) == 4
    assert sorted(path for hand in hands for path in hand) == sorted(files)


def says(expression: str, marks: list[str]) -> bool:
    """What pytest makes of `-m`."""
    return bool(eval(expression, {}, {name: name in marks for name in MARKERS}))  # noqa: S307 - our own words


def has(portion: Portion, test: str) -> bool:
    """Whether a test is below one of the paths, or no path is named, and below none that is ignored."""
    ignored = [each.removeprefix("--ignore=") for each in portion if each.startswith("--ignore=")]
    paths = [each for each in portion if not each.startswith("--")]
    path = test.partition("::")[0]
    return (not paths or _below(path, paths)) and not _below(path, ignored)


def _below(path: str, folders: list[str]) -> bool:
    return any(path == each or path.startswith(f"{each}/") for each in folders)
