from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from drivers import sandbox
from drivers.artifacts.folder import FolderArtifactStore
from drivers.targets.process import ProcessTarget
from tests.drivers.targets.service import SERVICE, Service


@pytest.fixture(params=["trusted", "isolated"])
async def service(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Service]:
    """A target with a small web service in its store; whatever runs at the end is stopped."""
    if request.param == "isolated" and not sandbox.available():
        pytest.skip("bubblewrap does not work on this machine")
    root = tmp_path / "a path with spaces"
    tree = root / "tree"
    tree.mkdir(parents=True)
    (tree / "service.py").write_text(SERVICE)
    store = FolderArtifactStore(root / "artifacts")
    digest = (await store.store(tree)).digest
    target = ProcessTarget(root / "instances", store, trusted_code=request.param == "trusted", hidden=(root,))
    yield Service(target, root / "instances", digest)
    for status in await target.list_instances():
        await target.stop(status.instance_id)
