"""Folders that drivers make and throw away. The functions block; `finish_in_thread` runs them beside the event loop."""

import asyncio
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def finish_in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Like `asyncio.to_thread`, but a cancelled caller waits for the end of the work.

    A thread cannot be stopped; left alone it would still change a folder that the next attempt is filling.
    """
    work = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait((work,))
        raise


def remove_tree(path: Path) -> None:
    """Remove whatever is there (file, link, folder; also folders that an earlier build made read-only)."""
    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
    elif path.exists():
        shutil.rmtree(path, onerror=_make_writable_and_retry)


def _make_writable_and_retry(function: Callable[..., Any], path: str, error: Any) -> None:
    if issubclass(error[0], FileNotFoundError):
        return
    for folder in (os.path.dirname(path), path):  # noqa: PTH120 - shutil hands over strings
        if not os.path.islink(folder):  # noqa: PTH114 - shutil hands over strings
            os.chmod(folder, stat.S_IRWXU)  # noqa: PTH101 - shutil hands over strings
    if function in {os.open, os.scandir, os.lstat}:  # it could not be looked into; begin again there
        shutil.rmtree(path)
    else:
        function(path)


def folder_size(root: Path) -> int:
    """Bytes of the files below a folder; entries that vanish meanwhile count as nothing."""
    total = 0
    for folder, _, names in os.walk(root):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH118 - hot path
            except FileNotFoundError:
                continue
    return total


def leading_out(link: str, real_root: str) -> str | None:
    """The target of a symbolic link (at most 200 characters) if it leads out of a tree or is absolute, else None.

    Judged by where it really leads, other links on its way included; it need not exist.
    """
    target = os.readlink(link)  # noqa: PTH115 - hot path
    inside = os.path.commonpath([os.path.realpath(link), real_root]) == real_root
    return None if inside and not os.path.isabs(target) else target[:200]  # noqa: PTH117 - hot path
