"""The content of an archive: the build's tree, the targets of its links, and what was installed below HOME."""

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from domain.errors import ErrorCode, TerminalError
from drivers import sandbox
from drivers.artifacts.base import PACKED_HOME
from drivers.artifacts.links import Origin, Way, is_below, leaves

EXCLUDED = frozenset({".git"})
# Where installers without root put what programs need at run time: pip, uv, poetry, npm, go, gem, cargo and others.
INSTALLED = (
    ".local",
    ".gem",
    ".bun",
    ".deno",
    ".dotnet",
    ".nvm",
    ".pyenv",
    ".rbenv",
    ".sdkman",
    ".volta",
    ".npm-global",
    ".yarn",
    ".config/yarn/global",
    ".cache/pypoetry/virtualenvs",
    ".cargo/bin",
    "go/bin",
)
_CACHES = (".local/state", ".local/share/pnpm/store", ".local/share/Trash", ".bun/install/cache", ".nvm/.cache")
_LEFT_OUT = frozenset(f"{PACKED_HOME}/{name}" for name in _CACHES)


@dataclass(frozen=True)
class Entry:
    """A file, folder or link. `name` is relative to the tree, with slashes; `target` is a link's."""

    name: str
    path: str
    mode: int
    size: int
    target: str = ""


@dataclass(frozen=True)
class _Folder:
    """A folder to list: its real path, its name in the archive, its path in the sandbox.

    `copied` are the folders on the way to it that replace links: their sandbox paths and their names.
    """

    path: str
    name: str
    seen: str
    copied: tuple[tuple[str, str], ...] = ()


def list_tree(tree: Path, *, max_bytes: int, max_files: int, origin: Origin | None = None) -> list[Entry]:
    """All entries of the archive, sorted by name.

    A link to elsewhere in the checkout is replaced by a copy of its target; one into the system stays.

    Raises:
        TerminalError: ARTIFACT_EMPTY without a single file, ARTIFACT_TOO_LARGE, ARTIFACT_INVALID for special files and
            for links that are dangling in an instance.
    """
    return _Listing(os.path.realpath(tree), origin or Origin(tree), max_bytes, max_files).entries()


class _Listing:
    def __init__(self, tree: str, origin: Origin, max_bytes: int, max_files: int) -> None:
        self._origin = origin
        self._way = Way(origin.roots)
        self._tree = tree
        self._top = self._way.seen(tree)
        self._max_bytes = max_bytes
        self._max_files = max_files
        self._found: list[Entry] = []
        self._total = 0

    def entries(self) -> list[Entry]:
        self._list(_Folder(self._tree, "", self._top))
        if all(stat.S_ISDIR(entry.mode) for entry in self._found):
            raise TerminalError(
                "the build left no files to package; look at `build.output` in delivery.yaml",
                code=ErrorCode.ARTIFACT_EMPTY,
            )
        if PACKED_HOME in (entry.name for entry in self._found):
            raise invalid(f"{PACKED_HOME!a} is a name that the engine needs for itself; choose another one")
        self._list_home()
        return sorted(self._found, key=lambda entry: os.fsencode(entry.name))

    def _list_home(self) -> None:
        """The files installed below HOME, if there are any."""
        if self._origin.home is None:
            return
        home = os.path.realpath(self._origin.home)
        made: set[str] = set()
        for name in INSTALLED:
            path = f"{home}/{name}"
            if not os.path.isdir(path) or os.path.realpath(path) != path:  # noqa: PTH112 - hot path's strings
                continue
            for parent in _with_parents(f"{PACKED_HOME}/{name}"):
                if parent not in made:
                    made.add(parent)
                    self._keep(Entry(parent, home, stat.S_IFDIR, 0))
            self._list(_Folder(path, f"{PACKED_HOME}/{name}", f"{sandbox.HOME}/{name}"))

    def _list(self, top: _Folder) -> None:
        ahead = [top]
        while ahead:  # iterative, since hostile trees may be nested deeply
            folder = ahead.pop()
            for name in _names(folder.path):
                if name in EXCLUDED:
                    continue
                path = f"{folder.path}/{name}"
                inner = f"{folder.name}/{name}".lstrip("/")
                if inner in _LEFT_OUT:
                    continue
                below = self._entry(_Folder(path, inner, f"{folder.seen}/{name}", folder.copied))
                if below is not None:
                    ahead.append(below)

    def _entry(self, one: _Folder) -> _Folder | None:
        """Add one entry; returns the folder to list next, if it is one."""
        mode, size = _look(one.path, one.name)
        if stat.S_ISLNK(mode):
            return self._link(one)
        self._keep(Entry(one.name, one.path, mode, size))
        return one if stat.S_ISDIR(mode) else None

    def _keep(self, entry: Entry) -> None:
        self._found.append(entry)
        self._total += entry.size
        if self._total > self._max_bytes or len(self._found) > self._max_files:
            raise _too_large(self._max_bytes, self._max_files)

    def _link(self, one: _Folder) -> _Folder | None:
        """Add a link, or a copy of its target; returns the folder to list next, if that is one."""
        text = os.readlink(one.path)  # noqa: PTH115 - hot path
        end = self._way.end(os.path.dirname(one.seen), text, (self._top, sandbox.HOME))  # noqa: PTH120 - hot path
        if end is None:
            raise _refused(one.name, text, "by too long a way")
        packed = self._packed(end, one.copied)
        if packed is not None:
            self._keep(Entry(one.name, one.path, stat.S_IFLNK, 0, self._text(one, text, packed)))
            return None
        if is_below(end, sandbox.APP):
            return self._copy(one, text, end)
        if self._stays(end):
            self._keep(Entry(one.name, one.path, stat.S_IFLNK, 0, text))
            return None
        self._check_system(one.name, text, end)
        self._keep(Entry(one.name, one.path, stat.S_IFLNK, 0, text))
        return None

    def _packed(self, end: str, copied: tuple[tuple[str, str], ...]) -> str | None:
        """A path's name in the archive, if it is included: in a copy in progress, or in the tree itself."""
        for seen, name in (*reversed(copied), (self._top, "")):
            if is_below(end, seen):
                return f"{name}{end[len(seen) :]}".lstrip("/")
        return None

    def _text(self, one: _Folder, text: str, packed: str) -> str:
        """The target text of a link into the archive: unchanged if still right, else relative to its new place."""
        if is_below(one.name, PACKED_HOME) and not is_below(packed, PACKED_HOME):
            return f"{self._top}/{packed}"  # HOME is moved
        at = os.path.dirname(one.name)  # noqa: PTH120 - hot path
        if not text.startswith("/") and not one.copied and not leaves(at, text):
            return text
        return os.path.relpath(packed or ".", at or ".")

    def _stays(self, end: str) -> bool:
        """Whether it is below HOME and included."""
        return any(is_below(end, f"{sandbox.HOME}/{name}") for name in INSTALLED)

    def _copy(self, one: _Folder, text: str, end: str) -> _Folder | None:
        """Replace a link by a copy of its target elsewhere in the checkout."""
        real = self._way.real(end)
        if EXCLUDED & set(end.split("/")):
            raise _refused(one.name, text, "into what is never packaged")
        try:
            mode, size = _look(real, one.name)
        except FileNotFoundError:
            raise _refused(one.name, text, "to nothing, outside of what is packaged") from None
        self._keep(Entry(one.name, real, mode, size))
        if not stat.S_ISDIR(mode):
            return None
        return _Folder(real, one.name, end, (*one.copied, (end, one.name)))

    def _check_system(self, name: str, text: str, end: str) -> None:
        if not text.startswith("/"):
            raise _refused(name, text, "out of the repository")
        if is_below(end, sandbox.HOME):
            raise _refused(name, text, "into HOME, of which only what installers put there goes along")
        if is_below(end, sandbox.OURS):
            raise _refused(name, text, "into a folder that is gone when the service runs")
        for path in (os.path.normpath(text), end):
            why = self._origin.hidden(path)
            if why is not None:
                raise _refused(name, text, why)


def _with_parents(name: str) -> Iterator[str]:
    parts = name.split("/")
    return ("/".join(parts[: n + 1]) for n in range(len(parts)))


def _names(folder: str) -> list[str]:
    """An unreadable folder must not be skipped silently; a missing one counts as empty."""
    try:
        return os.listdir(folder)  # noqa: PTH208 - hot path
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unreadable(error, folder) from error


def _look(path: str, name: str) -> tuple[int, int]:
    """Mode and size; raises FileNotFoundError."""
    try:
        seen = os.lstat(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _unreadable(error, name) from error
    mode = seen.st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)):
        raise invalid(f"{name!a} is a socket, pipe or device, which cannot be packaged; let the build remove it")
    return mode, seen.st_size if stat.S_ISREG(mode) else 0


def _unreadable(error: OSError, name: str) -> TerminalError:
    if error.errno == errno.ENAMETOOLONG:
        return invalid("the folders that the build left are nested too deeply; name another one in `build.output`")
    return invalid(f"{name[-200:]!a} cannot be read: {error.strerror}")


def _refused(name: str, target: str, how: str) -> TerminalError:
    return invalid(
        f"the symbolic link {name[-200:]!a} leads {how} (it names {target[:200]!a}); "
        "let the build copy what it names, or remove it"
    )


def invalid(message: str) -> TerminalError:
    """The error for a tree that cannot be packaged."""
    return TerminalError(message, code=ErrorCode.ARTIFACT_INVALID)


def _too_large(max_bytes: int, max_files: int) -> TerminalError:
    return TerminalError(
        f"what the build left is larger than {max_bytes // 2**20} MiB or has more than {max_files} entries; "
        "name a smaller folder in `build.output`",
        code=ErrorCode.ARTIFACT_TOO_LARGE,
        details={"max_bytes": max_bytes, "max_files": max_files},
    )
