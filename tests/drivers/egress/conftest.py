from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.drivers.egress.way import Listener, Way


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    async with Listener.opened() as made:
        yield made


@pytest.fixture
async def way(tmp_path: Path) -> AsyncIterator[Way]:
    made = Way(tmp_path / ("long " * 30) / "egress", tmp_path)  # no path of a socket is so long
    yield made
    await made.stop()


@pytest.fixture
def here(listener: Listener) -> str:
    """The setting that allows the listener, for tests that want to get through."""
    return f"127.0.0.0/8:{listener.port}"
