"""The process target keeps what every target promises."""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from drivers import sandbox
from drivers.artifacts.folder import FolderArtifactStore
from drivers.shim.client import ShimStatus
from drivers.targets.base import InstancePhase
from drivers.targets.process import ProcessTarget
from drivers.targets.process.target import _phase
from tests.drivers.targets.conformance import TargetConformance, artifacts, digest

__all__ = ["artifacts", "digest"]


@pytest.fixture(params=[pytest.param("trusted", marks=pytest.mark.deep), "isolated"])
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


@pytest.mark.parametrize(
    ("seen", "phase"),
    [
        (ShimStatus(alive=True), InstancePhase.RUNNING),  # the shim has answered, and its process begins just now
        (ShimStatus(alive=True, child_pid=7), InstancePhase.RUNNING),
        (ShimStatus(alive=True, child_pid=7, restarts=1, last_code=1, last_reason="exited"), InstancePhase.RUNNING),
        (ShimStatus(alive=True, last_code=1, last_reason="exited"), InstancePhase.BACKOFF),
        (ShimStatus(alive=True, last_reason="memory_limit"), InstancePhase.BACKOFF),
        (ShimStatus(alive=False, last_code=1), InstancePhase.STOPPED),
    ],
)
def test_only_what_has_died_waits_to_be_started_again(seen: ShimStatus, phase: InstancePhase) -> None:
    assert _phase(seen) is phase
