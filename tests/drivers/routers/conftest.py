import shutil
import socket
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.drivers.routers.bed import Bed


@pytest.fixture(scope="module")
async def envoy(free_port_once: int) -> AsyncIterator[Bed]:
    """One Envoy for the module, in a short folder because of its socket."""
    root = Path(tempfile.mkdtemp(prefix="ev-", dir="/tmp"))
    bed = Bed(root, free_port_once)
    await bed.start()
    yield bed
    await bed.close()
    await bed.kill()
    shutil.rmtree(root)


@pytest.fixture(scope="module")
def free_port_once() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
async def bed(envoy: Bed) -> AsyncIterator[Bed]:
    """The module's Envoy; the upstreams of one test, which end with it."""
    yield envoy
    for upstream in envoy.upstreams:
        await upstream.end()
    envoy.bridged = False
    envoy.upstreams.clear()
