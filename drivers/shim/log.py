"""The log of a shim's process: capped, and never the reason that a service dies."""

from __future__ import annotations

import os

TYPE_CHECKING = False  # pathlib is slow to load, and the shim has no use for it
if TYPE_CHECKING:
    from pathlib import Path


class CappedLog:
    """Appends to a file. `write` returns why the process must end ("output_limit", "disk_full"), or None.

    With `rotate` it never asks for an end: the full file becomes `<path>.1` and what a full disk refuses is dropped.
    """

    def __init__(self, path: str, max_bytes: int, *, rotate: bool) -> None:
        self._path = path
        self._rotate = rotate
        self._limit = max_bytes // 2 if rotate else max_bytes
        self._open()
        self._written = os.fstat(self._file).st_size if rotate else 0

    def write(self, data: bytes) -> str | None:
        fits = data[: max(0, self._limit - self._written)]
        try:
            self._append(fits)
            if len(fits) == len(data):
                return None
            if not self._rotate:
                return "output_limit"
            self._turn_over()
            self._append(data[len(fits) :][-self._limit :])  # of too much at once the newest stays
        except OSError:
            return None if self._rotate else "disk_full"
        return None

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.open(self._path, flags, 0o600)

    def _append(self, data: bytes) -> None:
        while data:
            count = os.write(self._file, data)
            self._written += count
            data = data[count:]

    def _turn_over(self) -> None:
        os.replace(self._path, self._path + ".1")
        os.close(self._file)
        self._open()
        self._written = 0


def tail(path: Path, max_bytes: int, *, since: int = 0) -> str:
    """The last whole lines of a log, at most `max_bytes` of them, none before the offset `since`; NUL is replaced."""
    try:
        with path.open("rb") as file:
            begin = max(since, file.seek(0, os.SEEK_END) - max_bytes)
            file.seek(begin)
            data = file.read(max_bytes)
    except FileNotFoundError:
        return ""
    if begin > since and b"\n" in data:
        data = data[data.index(b"\n") + 1 :]
    return data.decode(errors="replace").replace("\0", "\ufffd")
