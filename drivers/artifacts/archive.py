"""Deterministic archives: the same files give the same bytes, on any machine at any time. Blocking.

Plain tar: gzip is a third of the size, but its bytes depend on the zlib at hand, which would break the addresses, and
writing takes twice as long (39 MB of Python packages on one core: 0.35 s plain, 0.73 s gzip level 1).
"""

import os
import shutil
import stat
import tarfile
from pathlib import Path, PurePosixPath
from typing import IO, Protocol, cast

from drivers.artifacts.base import PACKED_HOME
from drivers.artifacts.links import is_below, leaves
from drivers.artifacts.listing import Entry, invalid

MAX_EPOCH = 2**33 - 1  # the maximum of the header's octal field
_PLACE = "DELIVERY.place"
FILE_MODE, PROGRAM_MODE = 0o644, 0o755


class Sink(Protocol):
    """The target of an archive."""

    def write(self, data: bytes, /) -> int: ...


def write_archive(entries: list[Entry], sink: Sink, *, place: str = ".", epoch_s: int = 0) -> None:
    """Write the entries as a tar stream with uniform owners and modes; `epoch_s` is the modification time of all.

    Web servers compute ETags from size and time: two versions must differ in one of them, the same commit in none.
    `place` is the tree's path in its repository. It is stored before the entries unless it is the root.
    """
    when = min(max(epoch_s, 0), MAX_EPOCH)
    with tarfile.open(
        fileobj=cast("IO[bytes]", sink),  # a stream is only written to
        mode="w|",
        format=tarfile.PAX_FORMAT,
        encoding="utf-8",
        errors="surrogateescape",
        pax_headers={} if place == "." else {_PLACE: place},
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
        info.linkname = entry.target
        archive.addfile(info)
    else:
        info.mode = PROGRAM_MODE if entry.mode & stat.S_IXUSR else FILE_MODE
        info.size = entry.size
        # Never follow a link: a process left over from the build might have put one here meanwhile.
        try:
            handle = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise invalid(f"{entry.name!a} cannot be read: {error.strerror}") from error
        with os.fdopen(handle, "rb") as content:
            archive.addfile(info, content)


def extract_archive(archive: IO[bytes], into: Path) -> None:
    """Extract an archive into an empty folder. Nothing in it can be written outside of the folder.

    Without tarfile's filters, which Python 3.11 has only since 3.11.4. Links are created last, so that nothing is
    written through one.

    Raises:
        tarfile.TarError: the archive is not one of ours.
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
    real_root = os.path.realpath(into)
    for link in links:
        # A link that exists here already replaces a folder of ours: nothing may be written behind it.
        parent = os.path.normpath(f"{real_root}/{PurePosixPath(link.name).parent}")
        if os.path.realpath(parent) != parent:
            raise tarfile.ExtractError(f"{link.name!a} leads out of the tree")
        _check_target(link)
        (into / link.name).symlink_to(link.linkname)


def _check_target(link: tarfile.TarInfo) -> None:
    """Absolute targets point into the system. Links to what was installed below HOME move with it."""
    if link.linkname.startswith("/") or is_below(link.name, PACKED_HOME):
        return
    if leaves(str(PurePosixPath(link.name).parent), link.linkname):
        raise tarfile.ExtractError(f"{link.name!a} leads out of the tree")


def read_place(archive: IO[bytes]) -> str:
    """The path in its repository that the tree had.

    Raises:
        tarfile.TarError: the archive is not one of ours.
    """
    with tarfile.open(fileobj=archive, mode="r:", encoding="utf-8", errors="surrogateescape") as stored:
        place = stored.pax_headers.get(_PLACE, ".")
    if PurePosixPath(place).is_absolute() or ".." in PurePosixPath(place).parts:
        raise tarfile.ReadError("its place leads out of the repository")
    return place


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
