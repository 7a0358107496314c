"""The files of a mirror: advisories as OSV publishes them, `all.zip` of each ecosystem, or folders of `*.json`."""

import hashlib
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Final

from domain.advisories.record import MAX_RECORD

MAX_DEPTH: Final = 8
MAX_FILES: Final = 2_000_000
"""Advisories of a mirror; all that OSV has of all ecosystems is less."""
_ENDINGS: Final = (".json", ".zip")
# A part of one, one that is being written in place, other methods of compression, a password.
_BROKEN: Final = (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError)


class MirrorError(Exception):
    """The mirror cannot be read. The message says why, and names no more than a file's path within it."""


@dataclass(frozen=True)
class Entry:
    """One file that should be an advisory.

    `read`: its bytes, one more than `MAX_RECORD` at most. It raises `MirrorError` when its archive is broken, `OSError`
    for a file of its own.
    """

    name: str
    read: Callable[[], bytes]


def mark_of(mirror: Path) -> str:
    """Changes when a file of the mirror is added, removed, replaced or written to.

    Raises:
        MirrorError: the folder cannot be read.
    """
    total = 0
    for path, found in _files(mirror):
        told = f"{path}\0{found.st_size}\0{found.st_mtime_ns}\0{found.st_ino}".encode(errors="surrogateescape")
        # The order of a folder's entries is chance, and sorting them all would need memory for all.
        total ^= int.from_bytes(hashlib.blake2b(told, digest_size=16).digest())
    return f"{total:032x}"


def entries(mirror: Path) -> Iterator[Entry]:
    """All advisories, one in memory at a time.

    Raises:
        MirrorError: the folder or an archive cannot be read to its end.
    """
    for path, _ in _files(mirror):
        name = os.path.relpath(path, mirror)
        if name.endswith(".zip"):
            yield from _of_archive(Path(path), name)
        else:
            yield Entry(name, partial(_plain, Path(path)))


def _files(mirror: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Links are followed: an operator switches a whole mirror with one. No folder is looked into twice."""
    if not mirror.is_dir():
        raise MirrorError("there is no such folder")
    ahead, seen, count = [(os.fspath(mirror), 0)], set(), 0
    while ahead:
        folder, depth = ahead.pop()
        try:
            here = os.stat(folder)  # noqa: PTH116 - hot path
            if (here.st_dev, here.st_ino) in seen:
                continue
            seen.add((here.st_dev, here.st_ino))
            for entry in _listed(folder):
                if entry.name.endswith(_ENDINGS) and entry.is_file():
                    yield entry.path, entry.stat()
                elif depth < MAX_DEPTH and entry.is_dir():
                    ahead.append((entry.path, depth + 1))
                count += 1
        except FileNotFoundError:
            continue  # it is being replaced: then its mark is another one, and it is read again
        except OSError as error:
            raise MirrorError(f"{os.path.relpath(folder, mirror)} cannot be read: {error.strerror}") from None
        if count > MAX_FILES:
            raise MirrorError(f"it has more than {MAX_FILES:,} files")


def _listed(folder: str) -> Iterator[os.DirEntry[str]]:
    """Without `.git`, and without files that are being fetched."""
    with os.scandir(folder) as found:
        yield from (entry for entry in found if not entry.name.startswith("."))


def _of_archive(path: Path, name: str) -> Iterator[Entry]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > MAX_FILES:
                raise MirrorError(f"{name} has more than {MAX_FILES:,} files")
            for member in members:
                if member.filename.endswith(".json"):
                    yield Entry(f"{name}:{member.filename}"[:300], partial(_member, archive, member, name))
    except _BROKEN as error:
        raise MirrorError(f"{name} is no whole zip archive: {error}"[:300]) from None
    except OSError as error:
        raise MirrorError(f"{name} cannot be read: {error.strerror}") from None


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> bytes:
    try:
        return _bounded(archive.open(member))
    except (*_BROKEN, zlib.error, OSError) as error:
        raise MirrorError(f"{name} is no whole zip archive: {error}"[:300]) from None


def _plain(path: Path) -> bytes:
    return _bounded(path.open("rb"))


def _bounded(file: IO[bytes]) -> bytes:
    with file:
        return file.read(MAX_RECORD + 1)
