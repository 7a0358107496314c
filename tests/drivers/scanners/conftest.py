from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers import sandbox
from drivers.scanners.base import ScanOrder, Sources
from drivers.scanners.listing import listed
from drivers.scanners.process import ToolProcesses
from drivers.scanners.registry import MODULES
from runtime.limited import LimitedProcesses


@pytest.fixture(scope="session")
def limited() -> Iterator[LimitedProcesses]:
    return LimitedProcesses(MODULES)


@pytest.fixture(params=["isolated", pytest.param("trusted", marks=pytest.mark.deep)])
def processes(request: pytest.FixtureRequest) -> ToolProcesses:
    return tool_processes(trusted=request.param == "trusted")


@pytest.fixture
def isolated() -> ToolProcesses:
    return tool_processes(trusted=False)


def tool_processes(*, trusted: bool) -> ToolProcesses:
    if not trusted and not sandbox.available():
        pytest.skip("bubblewrap does not work on this machine")
    return ToolProcesses(trusted=trusted)


@pytest.fixture
def order(tmp_path: Path) -> ScanOrder:
    root = tmp_path / "a path with spaces"
    (root / "tree").mkdir(parents=True)
    return ScanOrder(key=f"scan-{tmp_path.name}", tree=root / "tree", scratch=root / "scratch")


def seen(order: ScanOrder) -> Sources:
    return Sources(order, listed(order.tree).files)
