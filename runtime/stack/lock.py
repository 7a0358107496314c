"""One supervisor a data folder: a lock the kernel releases whenever its holder dies."""

import os
from pathlib import Path
from types import TracebackType
from typing import Self

from runtime.files import open_lock, try_lock


class HeldError(Exception):
    """Another supervisor works on this folder.

    Args:
        pid: its process; None when it has not written it yet.
    """

    def __init__(self, pid: int | None) -> None:
        super().__init__(f"held by process {pid}")
        self.pid = pid


class Lock:
    """The lock on a data folder, as a context manager. It holds its holder's pid."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        descriptor = open_lock(self._path)
        if not try_lock(descriptor):
            os.close(descriptor)
            raise HeldError(_holder(self._path))
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        self._descriptor = descriptor
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)


def _holder(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
