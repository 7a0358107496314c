"""When a log's bytes were written, kept beside it: the log itself stays as its program wrote it."""

from __future__ import annotations

import os
import time

SUFFIX = ".times"
_EVERY_MS = 100


class LineTimes:
    """`<log>.times` has a line `<offset> <ms since 1970>` for what came within a tenth of a second.

    Offsets count bytes from the log's beginning, over all files that it had. The first line has the number (inode) of
    its file of the log as a third word: so a reader knows that the two belong together. A full disk loses times only.
    """

    def __init__(self, log: str) -> None:
        self._path = log + SUFFIX
        self._file: int | None = None
        self._last_ms = -_EVERY_MS

    def begin(self, base: int, inode: int) -> int:
        """A new file, for a file of the log whose first byte has the offset `base`. Returns the bytes written."""
        self._close()
        try:
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        except OSError:
            return 0
        self._last_ms = _now_ms()
        return self._write(f"{base} {self._last_ms} {inode}\n")

    def go_on(self) -> int:
        """With the file that is there; returns its size."""
        try:
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            return os.fstat(self._file).st_size
        except OSError:
            return 0

    def note(self, offset: int) -> int:
        """What is written at `offset` is written now. Returns the bytes written."""
        now = _now_ms()
        if now - self._last_ms < _EVERY_MS and now >= self._last_ms - 60_000:
            return 0
        self._last_ms = now
        return self._write(f"{offset} {now}\n")

    def turn_over(self) -> None:
        """The file of the log was put aside as `<log>.1`: this one goes with it."""
        self._close()
        try:
            os.replace(self._path, first_of(self._path))
        except OSError:
            return

    def _write(self, line: str) -> int:
        if self._file is None:
            return 0
        try:
            return os.write(self._file, line.encode())
        except OSError:
            return 0

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def first_of(times: str) -> str:
    """`<log>.times` of the file that was put aside."""
    return times.removesuffix(SUFFIX) + ".1" + SUFFIX


def end_of(log: str) -> int | None:
    """The offset behind a file of a log, by its times; None: there are none of it."""
    try:
        found = os.stat(log)
        with open(log + SUFFIX, "rb") as file:
            base, _, inode = file.readline().split()
        return int(base) + found.st_size if int(inode) == found.st_ino else None
    except (OSError, ValueError):
        return None


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
