"""A pytest plugin that tells where the time of a run goes: `-p tests.support.spent`; `tests/gate.py` sums it up.

It writes a JSON object a line into a file in the folder that SPENT_FOLDER names: seconds by the clock, and CPU seconds
of all processes that the tests started. The latter need a control group of our own (root, cgroup v1 with `cpuacct`
alone); else they are those of pytest and of its children that ended, without what still runs.
"""

import json
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

FOLDER = "SPENT_FOLDER"
ACCOUNT = Path("/sys/fs/cgroup/cpuacct")


class Account:
    """CPU seconds of this process and of all that it starts."""

    def __init__(self) -> None:
        self._group = _own_group()

    def seconds(self) -> float:
        if self._group:
            return int((self._group / "cpuacct.usage").read_text()) / 1e9
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(each.ru_utime + each.ru_stime for each in used)

    def close(self) -> None:
        """The group is left; whoever outlives us stays in it."""
        if self._group:
            with suppress(OSError):
                (ACCOUNT / "cgroup.procs").write_text(str(os.getpid()))
                self._group.rmdir()


def _own_group() -> Path | None:
    """A control group with this process in it; None where none can be made."""
    if ACCOUNT.is_symlink():  # shared with `cpu`, where our processes have groups of their own
        return None
    group = ACCOUNT / f"delivery-tests-{os.getpid()}"
    try:
        group.mkdir()
        (group / "cgroup.procs").write_text(str(os.getpid()))
    except OSError:
        return None
    return group


class Spent:
    """The plugin's hooks."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a")
        self._account = Account()

    @contextmanager
    def _measured(self, kind: str, name: str, file: str) -> Iterator[None]:
        began, used = time.monotonic(), self._account.seconds()
        try:
            yield
        finally:
            spent = {"wall": time.monotonic() - began, "cpu": self._account.seconds() - used}
            self._file.write(json.dumps({"kind": kind, "name": name, "file": file, **spent}) + "\n")

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self) -> Iterator[Any]:
        with self._measured("collection", "", ""):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[Any]:
        with self._measured("test", item.nodeid, item.nodeid.partition("::")[0]):
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> Iterator[Any]:
        # Those that it needs are set up before, and counted by themselves.
        with self._measured("fixture", fixturedef.argname, request.node.nodeid.partition("::")[0]):
            return (yield)

    def pytest_unconfigure(self) -> None:
        self._file.close()
        self._account.close()


def pytest_configure(config: pytest.Config) -> None:
    if folder := os.environ.get(FOLDER):
        config.pluginmanager.register(Spent(Path(folder) / f"{os.getpid()}.jsonl"))
