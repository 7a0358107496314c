"""The process target keeps what every target promises."""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from drivers import sandbox
from drivers.artifacts.folder import FolderArtifactStore
from drivers.targets.process import ProcessTarget
from tests.drivers.targets.conformance import TargetConformance, artifacts, digest

__all__ = ["artifacts", "digest"]


@pytest.fixture(params=["trusted", "isolated"])
async def target(
    request: pytest.FixtureRequest, tmp_path: Path, artifacts: FolderArtifactStore
) -> AsyncIterator[ProcessTarget]:
    trusted = request.param == "trusted"
    if not trusted and not sandbox.available():
        pytest.skip("bubblewrap does not work on this machine")
    with tempfile.TemporaryDirectory(prefix="doors-") as sockets:  # short: a unix socket's name has 107 bytes
        made = ProcessTarget(tmp_path / "instances", artifacts, trusted_code=trusted, sockets=Path(sockets) / "d")
        yield made
        for status in await made.list_instances():
            await made.stop(status.instance_id)


class TestProcessTarget(TargetConformance):
    pass
