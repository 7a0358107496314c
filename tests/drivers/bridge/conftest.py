import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.drivers.bridge.bed import Bridge, begin

Begin = Callable[..., Awaitable[Bridge]]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short: the name of a unix socket has 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="bridge-") as made:
        yield Path(made)


@pytest.fixture
async def bridge(folder: Path) -> AsyncIterator[Begin]:
    """Starts bridges that end with the test."""
    begun: list[Bridge] = []

    async def start(*words: str, **options: Any) -> Bridge:
        begun.append(await begin(folder, *words, **options))
        return begun[-1]

    yield start
    for each in begun:
        await each.end()
