from pathlib import Path

import pytest

from drivers import sandbox
from drivers.builders.base import Builder
from drivers.builders.bubblewrap import BubblewrapBuilder
from drivers.builders.process import ProcessBuilder
from tests.drivers.builders.workspace import Workspace


@pytest.fixture(params=[pytest.param("process", marks=pytest.mark.deep), "bubblewrap"])
def builder(request: pytest.FixtureRequest) -> Builder:
    if request.param == "process":
        return ProcessBuilder()
    if not sandbox.available():
        pytest.skip("bubblewrap does not work on this machine")
    return BubblewrapBuilder()


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.below(tmp_path / "a path with spaces")
