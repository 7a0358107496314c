"""Temporary folders of drivers. The functions block; `finish_in_thread` runs them beside the event loop."""

import asyncio
import contextlib
import errno
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def finish_in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Like `asyncio.to_thread`, but a cancelled caller waits until the work ends.

    A thread cannot be stopped; it would still change a folder that the next attempt is filling.
    """
    work = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait((work,))
        raise


def remove_tree(path: Path) -> None:
    """Remove whatever is there (file, link or folder, including folders that an earlier build made read-only)."""
    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
    elif path.exists():
        try:
            shutil.rmtree(path, onerror=_make_writable_and_retry)
        except (RecursionError, OSError) as error:
            if isinstance(error, OSError) and error.errno != errno.ENAMETOOLONG:
                raise
            # Hostile code nests folders deeper than Python's recursion limit, or than a path can name.
            subprocess.run(["rm", "-rf", "--", os.fspath(path)], check=True, stdin=subprocess.DEVNULL)


def _make_writable_and_retry(function: Callable[..., Any], path: str, error: Any) -> None:
    if issubclass(error[0], FileNotFoundError):
        return
    for folder in (os.path.dirname(path), path):  # noqa: PTH120 - shutil hands over strings
        if not os.path.islink(folder):  # noqa: PTH114 - shutil hands over strings
            os.chmod(folder, stat.S_IRWXU)  # noqa: PTH101 - shutil hands over strings
    if function in {os.open, os.scandir, os.lstat}:  # it could not be read; start again there
        shutil.rmtree(path)
    else:
        function(path)


def folder_size(root: Path) -> int:
    """Bytes of the files below a folder. Files that vanish meanwhile or are unreadable count as 0."""
    total = 0
    ahead = [os.fspath(root)]
    while ahead:  # os.walk recurses
        with (
            contextlib.suppress(OSError),
            os.scandir(ahead.pop()) as found,
        ):
            for entry in found:
                with contextlib.suppress(FileNotFoundError):
                    is_folder = entry.is_dir(follow_symlinks=False)
                    total += 0 if is_folder else entry.stat(follow_symlinks=False).st_size
                    ahead.extend([entry.path] * is_folder)
    return total


MAX_LINKS = 40  # Linux's limit of links on a path; beyond it a path does not resolve
MAX_PARTS = 512


def leading_out(link: str, real_root: str) -> str | None:
    """The target of a symbolic link (at most 200 characters) if it leads out of a tree or is absolute, else None.

    Resolved including other links on the way; the target need not exist. A path of more than `MAX_PARTS` names counts
    as leading out: resolving that for very many links would take hours.

    Args:
        link: its path, without links among its folders.
        real_root: the tree, without links.
    """
    target = os.readlink(link)  # noqa: PTH115 - hot path
    inside = _stays_inside(os.path.dirname(link), target, real_root)  # noqa: PTH120 - hot path
    return None if inside and not os.path.isabs(target) else target[:200]  # noqa: PTH117 - hot path


def _stays_inside(at: str, target: str, real_root: str) -> bool:
    """Resolve a target from a real folder, as the kernel does."""
    rest, links, parts = _reversed(target), 1, 0
    while rest and links <= MAX_LINKS:
        name = rest.pop()
        parts += 1
        if parts > MAX_PARTS:
            return False
        if name == "..":
            at = os.path.dirname(at)  # noqa: PTH120 - hot path
            continue
        ahead = os.path.join(at, name)  # noqa: PTH118 - hot path
        try:
            further = os.readlink(ahead)  # noqa: PTH115 - hot path
        except OSError:  # not a link, or missing
            at = ahead
            continue
        links += 1
        at = "/" if further.startswith("/") else at
        rest.extend(_reversed(further))
    return links > MAX_LINKS or os.path.commonpath([at, real_root]) == real_root


def _reversed(path: str) -> list[str]:
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]
