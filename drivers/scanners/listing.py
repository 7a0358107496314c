"""Which files of a tree are looked at."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MAX_FILES = 50_000
MAX_PATH = 1024
# Installed by a package manager, or written by tools: what is in there is in a lock file, or made of the sources.
LEFT_OUT = frozenset(
    {
        *(".git", ".hg", ".svn", "node_modules", "bower_components", "site-packages", "__pycache__"),
        *(".tox", ".nox", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".gradle", ".m2", ".cargo", ".terraform"),
    }
)


@dataclass(frozen=True)
class Listing:
    """`files`: bytes by path. `notices`: what was left out, in words."""

    files: dict[str, int]
    notices: tuple[str, ...] = ()


def listed(tree: Path) -> Listing:
    """The regular files below a folder, by alphabet. It blocks; what vanishes meanwhile is not there.

    No link is followed: the tree belongs to a stranger, who could show us our own files by one.
    """
    files: dict[str, int] = {}
    links, odd, installed, closed, more = 0, 0, 0, 0, False
    ahead = [""]
    while ahead and not more:
        folder = ahead.pop()
        try:
            descriptor = os.open(tree / folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:  # no right to read it, or too long a path
            closed += 1
            continue
        for name, found in _entries(descriptor):
            path = f"{folder}{name}"
            if stat.S_ISLNK(found.st_mode):
                links += 1
            elif stat.S_ISDIR(found.st_mode):
                if _is_installed(tree, path, name):
                    installed += 1
                else:
                    ahead.append(f"{path}/")
            elif not stat.S_ISREG(found.st_mode) or not _is_text(path):
                odd += 1
            elif len(files) == MAX_FILES:
                more = True
                break
            else:
                files[path] = found.st_size
    counted = (
        (links, "{} symbolic links were not followed"),
        (odd, "{} files were not looked at: they are no regular files, or their names are too long or no UTF-8"),
        (installed, "{} folders of installed dependencies or of tools were not looked at (node_modules, .venv, ...)"),
        (closed, "{} folders could not be read, so nothing in them was looked at"),
        (int(more), f"only the first {MAX_FILES} files were looked at"),
    )
    notices = tuple(words.format(count) for count, words in counted if count)
    return Listing(dict(sorted(files.items())), notices)


def _entries(descriptor: int) -> Iterator[tuple[str, os.stat_result]]:
    """One after another: whoever has enough of a folder of a million files asks no more. Closes the descriptor."""
    try:
        for name in sorted(os.listdir(descriptor)):
            try:
                yield name, os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            except OSError:
                continue
    finally:
        os.close(descriptor)


def _is_installed(tree: Path, path: str, name: str) -> bool:
    if name in LEFT_OUT:
        return True
    here = tree / path
    return (here / "pyvenv.cfg").is_file() or (name == "vendor" and (here / "modules.txt").is_file())


def _is_text(path: str) -> bool:
    """Whether a path can be named in a finding."""
    try:
        return len(path.encode()) <= MAX_PATH and path.isprintable()
    except UnicodeEncodeError:
        return False
