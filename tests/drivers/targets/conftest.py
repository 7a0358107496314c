import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from drivers import sandbox
from drivers.artifacts.folder import FolderArtifactStore
from drivers.targets.process import ProcessTarget
from tests.drivers.targets.service import SERVICE, Service


@pytest.fixture(params=[pytest.param("trusted", marks=pytest.mark.deep), "isolated"])
async def service(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Service]:
    """A target with a small web service in its store; whatever runs at the end is stopped."""
    async with _service(tmp_path, trusted=request.param == "trusted") as made:
        yield made


@pytest.fixture
async def sharing(tmp_path: Path) -> AsyncIterator[Service]:
    """One whose instances are on the host's network."""
    async with _service(tmp_path, trusted=True) as made:
        yield made


@pytest.fixture
async def alone(tmp_path: Path) -> AsyncIterator[Service]:
    """One whose instances have networks of their own."""
    async with _service(tmp_path, trusted=False) as made:
        yield made


@contextlib.asynccontextmanager
async def _service(tmp_path: Path, *, trusted: bool) -> AsyncIterator[Service]:
    if not trusted and not sandbox.available():
        pytest.skip("bubblewrap does not work on this machine")
    root = tmp_path / "a path with spaces"
    tree = root / "tree"
    tree.mkdir(parents=True)
    (tree / "service.py").write_text(SERVICE)
    store = FolderArtifactStore(root / "artifacts")
    digest = (await store.store(tree)).digest
    with tempfile.TemporaryDirectory(prefix="doors-") as sockets:  # short: a unix socket's name has 107 bytes
        doors = Path(sockets) / "of instances"
        target = ProcessTarget(root / "instances", store, trusted_code=trusted, hidden=(root,), sockets=doors)
        yield Service(target, root / "instances", digest, doors)
        for status in await target.list_instances():
            await target.stop(status.instance_id)
