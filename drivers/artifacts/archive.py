"""Deterministic archives: the same files give the same bytes, whoever made them and when. Blocking.

Plain tar: gzip is a third of the size, but its bytes depend on the zlib at hand, which would break the addresses,
and writing takes twice as long (39 MB of Python packages on one core: 0.35 s plain, 0.73 s gzip level 1).
"""

import os
import shutil
import stat
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Protocol, cast

from domain.errors import ErrorCode, TerminalError
from drivers.folders import leading_out

EXCLUDED = frozenset({".git"})
MAX_EPOCH = 2**33 - 1  # what the header's octal field can hold
FILE_MODE, PROGRAM_MODE = 0o644, 0o755


class Sink(Protocol):
    """What an archive is written to."""

    def write(self, data: bytes, /) -> int: ...


@dataclass(frozen=True)
class Entry:
    """A file, folder or link; `name` is relative to the tree, with slashes."""

    name: str
    path: str
    mode: int
    size: int


def list_tree(tree: Path, *, max_bytes: int, max_files: int) -> list[Entry]:
    """Everything that belongs into the archive, ordered by name.

    Raises:
        TerminalError: ARTIFACT_EMPTY without a single file, ARTIFACT_TOO_LARGE, ARTIFACT_INVALID for links that
            leave the tree and for special files.
    """
    try:
        return _listed(os.path.realpath(tree), max_bytes, max_files)
    except RecursionError:
        raise _invalid(
            "the folders that the build left are nested too deeply; name another one in `build.output`"
        ) from None


def _listed(root: str, max_bytes: int, max_files: int) -> list[Entry]:
    found: list[Entry] = []
    total = 0
    for folder, subfolders, names in os.walk(root, onerror=_unreadable):
        subfolders[:] = [name for name in subfolders if name not in EXCLUDED]
        for name in (*subfolders, *names):
            if name in EXCLUDED:
                continue
            entry = _entry(root, os.path.join(folder, name))  # noqa: PTH118 - hot path
            found.append(entry)
            total += entry.size
            if total > max_bytes or len(found) > max_files:
                raise _too_large(max_bytes, max_files)
    if all(stat.S_ISDIR(entry.mode) for entry in found):
        raise TerminalError(
            "the build left no files to package; look at `build.output` in delivery.yaml",
            code=ErrorCode.ARTIFACT_EMPTY,
        )
    return sorted(found, key=lambda entry: os.fsencode(entry.name))


def _entry(root: str, path: str) -> Entry:
    seen = os.lstat(path)
    name = os.path.relpath(path, root)
    if stat.S_ISLNK(seen.st_mode):
        _check_link(root, path, name)
    elif not (stat.S_ISREG(seen.st_mode) or stat.S_ISDIR(seen.st_mode)):
        raise _invalid(f"{name!a} is a socket, pipe or device, which cannot be packaged; let the build remove it")
    size = seen.st_size if stat.S_ISREG(seen.st_mode) else 0
    return Entry(name, path, seen.st_mode, size)


def _check_link(root: str, path: str, name: str) -> None:
    target = leading_out(path, root)
    if target is not None:
        raise _invalid(
            f"the symbolic link {name!a} points to {target!a}, outside of what is packaged; "
            "copy the file or use a relative link"
        )


def _unreadable(error: OSError) -> None:
    """A folder that cannot be listed must not be left out in silence; a missing one is an empty one."""
    if not isinstance(error, FileNotFoundError):
        raise _invalid(f"{error.filename!a} cannot be read: {error.strerror}") from error


def _invalid(message: str) -> TerminalError:
    return TerminalError(message, code=ErrorCode.ARTIFACT_INVALID)


def _too_large(max_bytes: int, max_files: int) -> TerminalError:
    return TerminalError(
        f"what the build left is larger than {max_bytes // 2**20} MiB or has more than {max_files} entries; "
        "name a smaller folder in `build.output`",
        code=ErrorCode.ARTIFACT_TOO_LARGE,
        details={"max_bytes": max_bytes, "max_files": max_files},
    )


def write_archive(entries: list[Entry], sink: Sink, *, epoch_s: int = 0) -> None:
    """Write the entries as a tar stream, with owners and modes made equal; `epoch_s` is everything's time.

    Web servers make validators of size and time: two versions must differ in one of them, the same commit in none.
    """
    when = min(max(epoch_s, 0), MAX_EPOCH)
    with tarfile.open(
        fileobj=cast("IO[bytes]", sink),  # a stream is only written to
        mode="w|",
        format=tarfile.PAX_FORMAT,
        encoding="utf-8",
        errors="surrogateescape",
    ) as archive:
        for entry in entries:
            _add(archive, entry, when)


def _add(archive: tarfile.TarFile, entry: Entry, when: int) -> None:
    info = tarfile.TarInfo(entry.name)
    info.mtime = when
    if stat.S_ISDIR(entry.mode):
        info.type, info.mode = tarfile.DIRTYPE, PROGRAM_MODE
        archive.addfile(info)
    elif stat.S_ISLNK(entry.mode):
        info.type, info.mode = tarfile.SYMTYPE, 0o777
        info.linkname = os.readlink(entry.path)  # noqa: PTH115 - hot path
        archive.addfile(info)
    else:
        info.mode = PROGRAM_MODE if entry.mode & stat.S_IXUSR else FILE_MODE
        info.size = entry.size
        # Never through a link: a process left over from the build might have put one there meanwhile.
        try:
            handle = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise _invalid(f"{entry.name!a} cannot be read: {error.strerror}") from error
        with os.fdopen(handle, "rb") as content:
            archive.addfile(info, content)


def extract_archive(archive: IO[bytes], into: Path) -> None:
    """Extract an archive into an empty folder; nothing of it can land outside.

    By hand, and not by tarfile's filters, which Python 3.11 has only from its fourth patch on. Links come last, so
    that nothing is ever written through one.

    Raises:
        tarfile.TarError: it is not one of ours.
    """
    links: list[tarfile.TarInfo] = []
    with tarfile.open(fileobj=archive, mode="r:", encoding="utf-8", errors="surrogateescape") as stored:
        for member in stored:
            if PurePosixPath(member.name).is_absolute() or ".." in PurePosixPath(member.name).parts:
                raise tarfile.ExtractError(f"{member.name!a} leads out of the tree")
            if member.issym():
                links.append(member)
            else:
                _extract(stored, member, into / member.name)
    for link in links:
        (into / link.name).symlink_to(link.linkname)
        path = into / link.name
        if leading_out(os.fspath(path.parent.resolve() / path.name), os.path.realpath(into)) is not None:
            raise tarfile.ExtractError(f"{link.name!a} leads out of the tree")


def _extract(stored: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    content = stored.extractfile(member) if member.isreg() else None
    if content is not None:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, PROGRAM_MODE)
        with os.fdopen(handle, "wb") as file:
            shutil.copyfileobj(content, file)
        path.chmod(member.mode & PROGRAM_MODE)
        os.utime(path, (member.mtime, member.mtime))
    elif member.isdir():
        path.mkdir(mode=PROGRAM_MODE)
        path.chmod(PROGRAM_MODE)
    else:
        raise tarfile.ExtractError(f"{member.name!a} is neither a file nor a folder nor a link")
