"""Which files of a checkout the paths, folders and globs of `test.report` and `test.coverage` are.

A checkout is a stranger's: links are followed as the build saw them and never out of it, nothing but regular files is
opened, and how much is looked at is bounded.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path

from domain.errors import ErrorCode, TerminalError
from domain.foreign_text import storable
from domain.report_xml import invalid
from drivers import sandbox
from drivers.artifacts.links import Origin, Way, is_below

MAX_FILES = 2_000
MAX_ENTRIES = 100_000
MAX_FOLDERS = 64
_MAGIC = frozenset("*?[")
_PASSED_OVER = frozenset({".git", "node_modules"})


@dataclass(frozen=True)
class ReportFile:
    """A file that was found.

    Attributes:
        name: its path below the service's folder, or the checkout.
        path: where it really is.
        picked: it was found by a folder or a glob, where there may be reports of other kinds.
    """

    name: str
    path: str
    picked: bool = False


@dataclass(frozen=True)
class Mark:
    """What changes when a file is written again."""

    inode: int
    mtime_ns: int
    size: int


class ReportFiles:
    """Looks for files in a checkout. `folder`: of the service; `suffixes`: of those that count in a folder."""

    def __init__(self, root: str, folder: str, suffixes: Sequence[str]) -> None:
        origin = Origin(Path(root))
        self._root = origin.roots[sandbox.APP]
        self._way = Way(origin.roots)
        self._suffixes = tuple(suffixes)
        self._home = sandbox.APP
        self._home = self._inside(sandbox.APP, folder)
        self._entries = 0

    def find(self, names: Sequence[str]) -> dict[str, list[ReportFile]]:
        """The files that each name stands for, in order; none: it is not there.

        Raises:
            TerminalError: SPEC_INVALID, a name leads out of the checkout; TEST_REPORT_INVALID: it stands for more
                than can be looked at.
        """
        found = {name: list(islice(self._of(name), MAX_FILES + 1)) for name in names}
        for name, files in found.items():
            if len(files) > MAX_FILES:
                raise invalid(f"{name!r} stands for more than {MAX_FILES:,} reports")
        return found

    def mark(self, path: str) -> Mark | None:
        """Of a file as it is now; None: it is not there."""
        try:
            known = Path(path).lstat()
        except OSError:
            return None
        return Mark(known.st_ino, known.st_mtime_ns, known.st_size)

    def open(self, file: ReportFile) -> int:
        """A descriptor for reading, to be closed by the caller.

        Raises:
            TerminalError: TEST_REPORT_INVALID, it is no regular file, or not in the checkout.
        """
        try:
            # A pipe that nobody writes to would be waited for without end.
            handle = os.open(file.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise invalid(f"the report cannot be opened: {error.strerror}") from None
        if stat.S_ISREG(os.fstat(handle).st_mode) and is_below(
            str(Path(f"/proc/self/fd/{handle}").readlink()), self._root
        ):
            return handle
        os.close(handle)
        raise invalid("the report is no regular file of the checkout")

    def _of(self, name: str) -> Iterator[ReportFile]:
        at = self._inside(self._home, name)
        real = Path(self._way.real(at))
        if real.is_dir():
            for suffix in self._suffixes:
                yield from self._picked(at, ["**", f"*{suffix}"])
        elif os.path.lexists(real):
            yield ReportFile(name, str(real))
        elif _MAGIC & set(name):
            yield from self._picked(self._home, [part for part in name.split("/") if part not in {"", "."}])

    def _picked(self, at: str, parts: Sequence[str]) -> Iterator[ReportFile]:
        for found in self._walk(at, parts):
            yield ReportFile(self._shown(found), self._way.real(found), picked=True)

    def _walk(self, at: str, parts: Sequence[str], depth: int = 0) -> Iterator[str]:
        """Paths of files below a folder that fit, as the build sees them; `**` stands for folders of any depth."""
        part, rest = parts[0], parts[1:]
        if depth > MAX_FOLDERS:
            return
        if part == "**":
            while rest and rest[0] == "**":
                rest = rest[1:]
            parts = ["**", *(rest or ["*"])]
            yield from self._walk(at, parts[1:], depth)
            for folder in self._folders(at):
                yield from self._walk(folder, parts, depth + 1)
        elif rest:
            for name in self._matching(at, part):
                end = self._way.end(at, name, stop_inside=())
                if end and is_below(end, sandbox.APP) and Path(self._way.real(end)).is_dir():
                    yield from self._walk(end, rest, depth + 1)
        else:
            for name in self._matching(at, part):
                end = self._inside(at, name)
                if not Path(self._way.real(end)).is_dir():
                    yield end

    def _folders(self, at: str) -> Iterator[str]:
        """Folders in a folder, but those that are links, hidden, or full of other people's sources."""
        for name in self._names(at):
            path = Path(self._way.real(f"{at}/{name}"))
            if not _hidden(name) and name not in _PASSED_OVER and path.is_dir() and not path.is_symlink():
                yield f"{at}/{name}"

    def _matching(self, at: str, part: str) -> list[str]:
        if not _MAGIC & set(part):
            return [part] if os.path.lexists(self._way.real(f"{at}/{part}")) else []
        fitting = (name for name in self._names(at) if fnmatchcase(name, part))
        return [name for name in fitting if part.startswith(".") or not _hidden(name)]

    def _names(self, at: str) -> list[str]:
        names: list[str] = []
        try:
            with os.scandir(self._way.real(at)) as entries:
                for entry in entries:
                    self._entries += 1
                    if self._entries > MAX_ENTRIES:
                        raise invalid(f"more than {MAX_ENTRIES:,} files were looked at for reports; name their folder")
                    names.append(entry.name)
        except OSError:  # no folder, or none that may be looked into
            return []
        return sorted(names)

    def _inside(self, at: str, name: str) -> str:
        end = self._way.end(at, name, stop_inside=())
        if end is None or not is_below(end, sandbox.APP):
            raise _leads_out(name if at == self._home else f"{self._shown(at)}/{name}")
        return end

    def _shown(self, path: str) -> str:
        base = self._home if is_below(path, self._home) else sandbox.APP
        return os.path.relpath(path, base)


def _hidden(name: str) -> bool:
    return name.startswith(".")


def _leads_out(name: str) -> TerminalError:
    return TerminalError(
        f"{storable(name)!r}, which `test` in delivery.yaml names, leads out of the repository",
        code=ErrorCode.SPEC_INVALID,
    )
