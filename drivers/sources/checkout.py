"""Processes a tree that git has just written: sets times, measures it, checks its links. Blocking."""

import os
import stat
from pathlib import Path

from domain.errors import ErrorCode, TerminalError
from drivers.folders import leading_out

MAX_EPOCH = 2**33 - 1  # the maximum of the tar header's octal field


def settle(root: Path, *, epoch_s: int) -> int:
    """Give every entry the same modification time and return the size in bytes.

    Raises:
        TerminalError: SOURCE_FORBIDDEN when a symbolic link leads out of the tree.
    """
    real_root = os.path.realpath(root)
    when = min(max(epoch_s, 0), MAX_EPOCH)
    size = 0
    for folder, subfolders, names in os.walk(real_root, topdown=False):
        for name in (*names, *subfolders):
            path = os.path.join(folder, name)  # noqa: PTH118 - hot path
            size += _settle_entry(path, real_root, when)
    os.utime(root, (when, when))
    return size


def _settle_entry(path: str, real_root: str, when: int) -> int:
    entry = os.lstat(path)
    if stat.S_ISLNK(entry.st_mode):
        _check_link(path, real_root)
    os.utime(path, (when, when), follow_symlinks=False)
    return entry.st_size if stat.S_ISREG(entry.st_mode) else 0


def _check_link(path: str, real_root: str) -> None:
    target = leading_out(path, real_root)
    if target is not None:
        shown = ascii(os.path.relpath(path, real_root))
        raise TerminalError(
            f"the symbolic link {shown} points to {target!a}, outside of the repository; remove it or make it relative",
            code=ErrorCode.SOURCE_FORBIDDEN,
            details={"path": shown, "target": ascii(target)},
        )
