"""Locks per instance and for the ports, across all processes of the engine."""

import zlib
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from runtime.files import locked

# Enough that two instances rarely share one: a large artifact must not delay another instance's start.
_FILES = 4096
_PATIENCE_S = 120.0


def instance_turn(root: Path, instance_id: str) -> AbstractAsyncContextManager[None]:
    """Instances share a fixed number of lock files, which therefore never need removing."""
    return _turn(root / ".turns" / str(zlib.crc32(instance_id.encode()) % _FILES))


def ports_turn(root: Path) -> AbstractAsyncContextManager[None]:
    """Taken inside an instance's lock, never the other way round."""
    return _turn(root / ".turns" / "ports")


def _turn(path: Path) -> AbstractAsyncContextManager[None]:
    """Raises `DependencyError` if another process holds it for too long."""
    return locked(path, _PATIENCE_S, f"Another process has held {path} for {_PATIENCE_S:g} s.")
