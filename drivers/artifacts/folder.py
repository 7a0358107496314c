"""Artifacts in a folder: `sha256/<hex>.tar`, written to a temporary file and renamed when complete."""

import asyncio
import contextlib
import errno
import glob
import hashlib
import os
import re
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from domain.errors import ErrorCode, TerminalError
from drivers.artifacts.archive import extract_archive, read_place, write_archive
from drivers.artifacts.base import StoredArtifact
from drivers.artifacts.links import Origin
from drivers.artifacts.listing import list_tree
from drivers.folders import finish_in_thread, remove_tree

STALE_AFTER_S = 24 * 3600
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_CHUNK = 1024 * 1024


class FolderArtifactStore:
    """Content-addressed archives on a local or shared disk; several processes may use one folder at once.

    Args:
        root: created if missing.
        max_bytes: limit of the total size of one artifact's files.
        max_files: limit of the number of its files, folders and links.
    """

    def __init__(self, root: Path, *, max_bytes: int = 2 * 2**30, max_files: int = 200_000) -> None:
        self._archives = root / "sha256"
        self._temporary = root / "tmp"
        self._max_bytes = max_bytes
        self._max_files = max_files
        self._make_folders()
        _remove_stale(self._temporary, "*")

    def _make_folders(self) -> None:
        for folder in (self._archives, self._temporary):
            folder.mkdir(parents=True, exist_ok=True)

    async def store(self, tree: Path, origin: Origin | None = None, *, epoch_s: int = 0) -> StoredArtifact:
        """Store a tree (without `.git`); see `ArtifactStore` for the errors."""
        return await finish_in_thread(self._store, tree, origin or Origin(tree), epoch_s)

    async def place(self, digest: str) -> str:
        """The tree's path in its checkout; raises ARTIFACT_UNAVAILABLE."""
        return await asyncio.to_thread(self._place, digest)

    async def exists(self, digest: str) -> bool:
        """Whether the archive exists (its bytes are verified when it is unpacked)."""
        return self._path(digest).is_file() if _DIGEST.fullmatch(digest) else False

    async def remove(self, digest: str, *, older_than_s: float = 0) -> bool:
        """Remove an archive unless it was stored within the last `older_than_s` seconds. Unpacked trees stay.

        Returns:
            Whether it is gone. It stays if another build has stored the same content since and is about to deploy it.
        """
        return await finish_in_thread(_remove_old, self._path(digest), older_than_s)

    async def unpack(self, digest: str, into: Path) -> None:
        """Put the tree into a folder of its own.

        A folder with content counts as unpacked and is not changed, since an instance may run from it: use one folder
        per digest.
        """
        await finish_in_thread(self._unpack, digest, into)

    def _path(self, digest: str) -> Path:
        found = _DIGEST.fullmatch(digest)
        if found is None:
            raise _unavailable(digest[:100], "it is not of the form sha256:<64 hexadecimal digits>")
        return self._archives / f"{found[1]}.tar"

    def _place(self, digest: str) -> str:
        with _opened(self._path(digest), digest) as archive:
            return read_place(archive)

    def _store(self, tree: Path, origin: Origin, epoch_s: int) -> StoredArtifact:
        entries = list_tree(tree, max_bytes=self._max_bytes, max_files=self._max_files, origin=origin)
        place = os.path.relpath(os.path.realpath(tree), os.path.realpath(origin.root))
        with _disk_full_reported():
            self._make_folders()  # the root may have been emptied
        with _disk_full_reported(), _temporary_file(self._temporary) as (path, file):
            sink = _HashingSink(file)
            write_archive(entries, sink, place=place, epoch_s=epoch_s)
            file.flush()
            os.fsync(file.fileno())
            digest = f"sha256:{sink.hash.hexdigest()}"
            path.replace(self._path(digest))  # replaces by the same bytes, or repairs a damaged archive
            _sync_folder(self._archives)
        return StoredArtifact(digest=digest, size_bytes=sink.size, file_count=len(entries))

    def _unpack(self, digest: str, into: Path) -> None:
        path = self._path(digest)
        if _has_content(into):
            return
        with _disk_full_reported():
            into.parent.mkdir(parents=True, exist_ok=True)
            _remove_stale(into.parent, f".{glob.escape(into.name)}.*.unpack")
            aside = Path(tempfile.mkdtemp(prefix=f".{into.name}.", suffix=".unpack", dir=into.parent))
            try:
                aside.chmod(0o755)
                _extract_checked(path, digest, aside)
                _rename_unless_there(aside, into)
            finally:
                remove_tree(aside)


def _remove_old(path: Path, older_than_s: float) -> bool:
    with contextlib.suppress(FileNotFoundError):
        if older_than_s and time.time() - path.stat().st_mtime < older_than_s:
            return False
        path.unlink()
    return True


class _HashingSink:
    """Counts and hashes the bytes written to a file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self.hash.update(data)
        self.size += len(data)
        return self._file.write(data)


def _extract_checked(path: Path, digest: str, into: Path) -> None:
    """Hash the whole archive first, so that no unverified byte is unpacked."""
    with _opened(path, digest) as archive:
        found = hashlib.sha256()
        while chunk := archive.read(_CHUNK):
            found.update(chunk)
        if f"sha256:{found.hexdigest()}" != digest:
            raise _unavailable(digest, "the stored bytes are damaged; build that version again")
        archive.seek(0)
        extract_archive(archive, into)


@contextlib.contextmanager
def _opened(path: Path, digest: str) -> Iterator[IO[bytes]]:
    """Raises ARTIFACT_UNAVAILABLE."""
    try:
        with path.open("rb") as archive:
            yield archive
    except FileNotFoundError:
        raise _unavailable(digest, "it was never stored here, or was removed; build that version again") from None
    except tarfile.TarError:
        raise _unavailable(digest, "the stored archive cannot be unpacked; build that version again") from None


def _unavailable(digest: str, why: str) -> TerminalError:
    return TerminalError(
        f"the artifact {digest} is not available: {why}",
        code=ErrorCode.ARTIFACT_UNAVAILABLE,
        details={"digest": digest},
    )


def _has_content(folder: Path) -> bool:
    try:
        return any(folder.iterdir())
    except FileNotFoundError:
        return False


def _rename_unless_there(aside: Path, into: Path) -> None:
    """Another process may have put the same tree there first; keep that one."""
    try:
        aside.rename(into)
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise


@contextlib.contextmanager
def _temporary_file(folder: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    """A new file in a folder, removed on exit unless it was renamed."""
    handle, name = tempfile.mkstemp(dir=folder)
    path = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield path, file
    finally:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def _disk_full_reported() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise TerminalError(
            "the disk that keeps artifacts is full; free space in the engine's data folder",
            code=ErrorCode.DISK_FULL,
        ) from error


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove_stale(folder: Path, pattern: str) -> None:
    """Remove what processes that died at least a day ago left behind."""
    before = time.time() - STALE_AFTER_S
    for path in folder.glob(pattern):
        with contextlib.suppress(FileNotFoundError):
            if path.lstat().st_mtime < before:
                remove_tree(path)
