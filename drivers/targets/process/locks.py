"""One at a time per instance and for the ports, across all processes of the engine."""

import zlib
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from runtime.files import locked

# So many that hardly two instances share one: whose artifact is big must keep nobody else's from starting.
_FILES = 4096
_PATIENCE_S = 120.0


def instance_turn(root: Path, instance_id: str) -> AbstractAsyncContextManager[None]:
    """Instances share a fixed number of lock files, which therefore never need removing."""
    return _turn(root / ".turns" / str(zlib.crc32(instance_id.encode()) % _FILES))


def ports_turn(root: Path) -> AbstractAsyncContextManager[None]:
    """Taken inside of an instance's turn, never the other way round."""
    return _turn(root / ".turns" / "ports")


def _turn(path: Path) -> AbstractAsyncContextManager[None]:
    """Raises `DependencyError` when somebody else holds it for too long."""
    return locked(path, _PATIENCE_S, f"Another process has held {path} for {_PATIENCE_S:g} s.")
