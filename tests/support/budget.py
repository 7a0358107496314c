"""A pytest plugin for `make check`: after BUDGET_S seconds no further test begins; each that is left out says so."""

import os
import time

import pytest

SETTING = "BUDGET_S"


class Budget:
    """Counts from the first test: what comes before is reading code, and nobody wants all tests left out for that."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._began: float | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        self._began = time.monotonic() if self._began is None else self._began
        if time.monotonic() - self._began > self._seconds:
            file = item.nodeid.partition("::")[0]
            pytest.skip(f"not run, since {self._seconds:g} s are over: make test PYTEST={file}")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Budget(float(os.environ[SETTING])))
