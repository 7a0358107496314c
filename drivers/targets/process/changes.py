"""The files that a release command left in its folder: recognized by their times, and copied to the instances.

Untrusted code created these files, and has ended. Links are never followed; special files are left out.
"""

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from domain.errors import ErrorCode, TerminalError
from drivers.folders import remove_tree

MAX_BYTES = 256 * 1024 * 1024
MAX_FILES = 20_000


def keep_changes(app: Path, since_ns: int) -> None:
    """Remove from a folder everything that was not created or changed at or after a moment (ns, file system's clock).

    Raises:
        TerminalError: RELEASE_COMMAND_FAILED, more was left than the limit.
    """
    if not app.is_dir():
        return
    try:
        count, total = _without_older(app, since_ns)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        remove_tree(app)
        raise _too_much("folders nested too deeply") from error
    if total > MAX_BYTES or count > MAX_FILES:
        remove_tree(app)
        raise _too_much(f"{count} files of {total >> 20} MiB")


def _without_older(app: Path, since_ns: int) -> tuple[int, int]:
    """Number of files that stay, and their bytes."""
    total = count = 0
    found = list(_walk(app))
    changed = {path for path, status in found if status.st_ctime_ns >= since_ns}
    for path, status in reversed(found):  # the content of a folder before the folder
        if stat.S_ISDIR(status.st_mode):
            if path not in changed and not any(os.scandir(path)):
                path.rmdir()
        elif path in changed and (stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)):
            total, count = total + status.st_size, count + 1
        else:
            path.unlink()
    return count, total


def _too_much(what: str) -> TerminalError:
    return TerminalError(
        f"the release command left {what} in its folder, more than is kept ({MAX_FILES} files, {MAX_BYTES >> 20} MiB): "
        "let a build step make them, or write them to TMPDIR",
        code=ErrorCode.RELEASE_COMMAND_FAILED,
    )


def give_changes(changes: Path, app: Path) -> None:
    """Copy them over an unpacked artifact, in which nothing runs yet. Safe to repeat."""
    if not changes.is_dir():
        return
    for path, status in _walk(changes):
        target = app / path.relative_to(changes)
        if stat.S_ISDIR(status.st_mode):
            if target.is_symlink() or not target.is_dir():
                remove_tree(target)
                target.mkdir()
            target.chmod(stat.S_IMODE(status.st_mode) | stat.S_IRWXU)
            continue
        remove_tree(target)
        if stat.S_ISLNK(status.st_mode):
            target.symlink_to(path.readlink())
        elif stat.S_ISREG(status.st_mode):
            shutil.copy2(path, target, follow_symlinks=False)


def _walk(root: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Everything below a folder, each folder before its content. Iterative, since hostile code nests deeply."""
    ahead = [root]
    while ahead:
        with os.scandir(ahead.pop()) as entries:
            for entry in sorted(entries, key=lambda each: each.name):
                status = entry.stat(follow_symlinks=False)
                yield Path(entry.path), status
                if stat.S_ISDIR(status.st_mode):
                    ahead.append(Path(entry.path))
