"""Can our folders be written? Asked at the start, so that the answer is a sentence and not some part's death."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from domain.errors import DependencyError

_ROOM = b"\0" * 65_536
_ADVICE = {
    errno.EROFS: "its file system is mounted read-only: mount it writable",
    errno.EACCES: "this user may not write there: give it the folder (chown), or start as its owner",
    errno.EPERM: "this user may not write there: give it the folder (chown), or start as its owner",
    errno.ENOSPC: "its disk is full: free some space",
    errno.EDQUOT: "its quota is used up: free some space",
    errno.ENOTDIR: "a part of its path is a file: remove that",
    errno.EEXIST: "a file is in its place: remove that",
}


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turns what the system says about the data folder into a sentence that says what to do.

    Raises:
        DependencyError: in place of every OSError.
    """
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "look at it")
        named = f" ({error.filename})" if error.filename and str(error.filename) != str(folder) else ""
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise DependencyError(
            f"the data folder {folder} cannot be used: {reason}{named}; {advice}, or set DELIVERY_DATA_DIR to another "
            "folder"
        ) from error


def check(data: Path, *folders: Path) -> None:
    """Write a little into each of the folders.

    Raises:
        DependencyError: one cannot be written; the message names it and says what to do.
    """
    for folder in (data, *folders):
        with explained(data):
            try:
                _write(folder)
            except OSError as error:
                error.filename = str(folder)
                raise


def _write(folder: Path) -> None:
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(_ROOM)
        file.flush()
