"""Nothing is left out: what `make test`, `make test-deep` and `make test-long` run is every test."""

import subprocess

import pytest

from tests.gate import DEEP, LONG, PYTHON, ROOT, SHORT
from tests.support.portions import PORTIONS


@pytest.mark.deep
@pytest.mark.timeout(900)
def test_every_test_is_in_one_portion_or_in_the_deep_or_the_long_run() -> None:
    portions = [collected("-m", SHORT, *portion) for portion in PORTIONS]
    short = {each for portion in portions for each in portion}
    assert len(short) == sum(map(len, portions)), "in two portions"
    deep, long = collected("-m", DEEP), collected("-m", LONG)
    assert short | deep | long == collected()
    assert not (short | deep) & long


def collected(*words: str) -> set[str]:
    argv = [PYTHON, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *words]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return {line for line in done.stdout.splitlines() if "::" in line}
