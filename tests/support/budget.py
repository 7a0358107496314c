"""A pytest plugin for `make check`: after BUDGET_S seconds no further test begins; each that is left out says so."""

import os
import time

import pytest

SETTING = "BUDGET_S"
_BEGAN = time.monotonic()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    budget_s = float(os.environ[SETTING])
    if time.monotonic() - _BEGAN > budget_s:
        file = item.nodeid.partition("::")[0]
        pytest.skip(f"not run, since {budget_s:g} s are over: make test PYTEST={file}")
