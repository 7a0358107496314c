"""Disk errors as messages for users."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from domain.errors import ErrorCode, TerminalError


def disk_full(path: Path) -> TerminalError:
    """The error for a full disk."""
    return TerminalError(f"The disk of {path} is full: free some space and try again.", code=ErrorCode.DISK_FULL)


@contextmanager
def disk_full_reported(path: Path) -> Iterator[None]:
    """Turn the system's error into DISK_FULL."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise disk_full(path) from error
