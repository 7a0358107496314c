"""Times of a log's bytes, in a file beside it: the log itself stays as its program wrote it."""

from __future__ import annotations

import os
import time

SUFFIX = ".times"
_EVERY_MS = 100


class LineTimes:
    """`<log>.times` has a line `<offset> <ms since 1970>` for the output of each tenth of a second.

    Offsets count bytes from the log's beginning, over all its files. The first line has the inode of its log file as a
    third word, so that a reader can match the two. A full disk only loses times.
    """

    def __init__(self, log: str) -> None:
        self._path = log + SUFFIX
        self._file: int | None = None
        self._last_ms = -_EVERY_MS

    def begin(self, base: int, inode: int) -> int:
        """Create the file for a log file whose first byte has the offset `base`. Returns the bytes written."""
        self._close()
        try:
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        except OSError:
            return 0
        self._last_ms = _now_ms()
        return self._write(f"{base} {self._last_ms} {inode}\n")

    def go_on(self) -> int:
        """Continue the existing file; returns its size."""
        try:
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            return os.fstat(self._file).st_size
        except OSError:
            return 0

    def note(self, offset: int) -> int:
        """Note that the byte at `offset` is written now. Returns the bytes written."""
        now = _now_ms()
        if now - self._last_ms < _EVERY_MS and now >= self._last_ms - 60_000:
            return 0
        self._last_ms = now
        return self._write(f"{offset} {now}\n")

    def turn_over(self) -> None:
        """The log file was renamed to `<log>.1`: rename this one as well."""
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
    """`<log>.times` of the renamed file."""
    return times.removesuffix(SUFFIX) + ".1" + SUFFIX


def end_of(log: str) -> int | None:
    """The offset after a log file's end, by its times; None if there are none."""
    try:
        found = os.stat(log)
        with open(log + SUFFIX, "rb") as file:
            base, _, inode = file.readline().split()
        return int(base) + found.st_size if int(inode) == found.st_ino else None
    except (OSError, ValueError):
        return None


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
