"""Reads one lock file of a tree, in a process with limits. No link is followed, in no part of a path."""

import os
import posixpath
import stat

from domain.lock_files.kinds import READERS, Kind
from domain.lock_files.reading import MAX_FILE, Locked, LockFile


def read_lock_file(tree: str, path: str, kind: Kind) -> Locked:
    """What it says.

    Raises:
        TerminalError: SCAN_FAILED: it cannot be read.
    """
    content = _content(tree, path)
    file = LockFile(path, content or b"", lambda near: _content(tree, posixpath.join(posixpath.dirname(path), near)))
    if content is None:
        raise file.invalid("it is no regular file, or it has just vanished")
    if len(content) > MAX_FILE:
        raise file.invalid(f"it is larger than {MAX_FILE >> 20} MiB")
    return READERS[Kind(kind)](file)


def _content(tree: str, path: str) -> bytes | None:
    """At most one byte more than `MAX_FILE`; None: there is no such regular file in the tree."""
    *folders, name = posixpath.normpath(path).split("/")
    if ".." in (*folders, name) or posixpath.isabs(path):
        return None
    here = os.open(tree, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for folder in folders:
            ahead = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
            os.close(here)
            here = ahead
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=here)
    except OSError:
        return None
    finally:
        os.close(here)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(MAX_FILE + 1) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
