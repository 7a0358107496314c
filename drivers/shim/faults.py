"""Faults of the disk, told to strangers."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from domain.errors import ErrorCode, TerminalError


def disk_full(path: Path) -> TerminalError:
    """What to say when nothing can be written there."""
    return TerminalError(f"The disk of {path} is full: free some space and try again.", code=ErrorCode.DISK_FULL)


@contextmanager
def disk_full_reported(path: Path) -> Iterator[None]:
    """Turns the system's word for it into DISK_FULL."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise disk_full(path) from error
