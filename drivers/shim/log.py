"""The log of a shim's process: capped, and never the reason that a service dies."""

from __future__ import annotations

import os
import stat

from drivers.shim.times import LineTimes, end_of

TYPE_CHECKING = False  # pathlib loads slowly, and the shim does not need it
if TYPE_CHECKING:
    from pathlib import Path


# Bytes kept of the end of an output that is too long.
_END_BYTES = 1024 * 1024
_LEAST_TIMES = 4096


class CappedLog:
    """Appends to a file. `write` returns why the process must end ("disk_full"), or None.

    If the output is too long its middle is left out: the end is held in memory, and `close` writes it after a line that
    says how much is missing. With `rotate` the full file becomes `<path>.1` instead, output that a full disk refuses is
    dropped, and `<path>.times` records the times of writes, within a quarter of the log's size.
    """

    def __init__(self, path: str, max_bytes: int, *, rotate: bool) -> None:
        self._path = path
        self._rotate = rotate
        # Without rotation: bytes kept of the beginning. The end is kept too, where the error usually is.
        self._limit = max_bytes // 2 if rotate else max(0, max_bytes - min(_END_BYTES, max_bytes // 2))
        self._end_bytes = max_bytes - self._limit
        self._end = bytearray()
        self._beyond = 0
        self._offset = 0  # offset of the next byte, over all files
        self._written = self._noted = 0
        self._open()
        is_file = stat.S_ISREG(os.fstat(self._file).st_mode)
        self._times = LineTimes(path) if rotate and is_file else None
        if rotate:
            self._go_on()

    def write(self, data: bytes) -> str | None:
        fits = data[: self._room]
        try:
            self._append(fits)
            if len(fits) == len(data):
                return None
            if not self._rotate:
                self._hold(data[len(fits) :])
                return None
            rest = data[len(fits) :]
            self._offset += max(0, len(rest) - self._limit)
            self._turn_over()
            self._append(rest[-self._limit :])  # if too much comes at once, the newest is kept
        except OSError:
            return None if self._rotate else "disk_full"
        return None

    @property
    def _room(self) -> int:
        """Bytes until the file is full, or its times are: very short lines need more room for times than for text."""
        too_many = self._noted > max(_LEAST_TIMES, self._limit // 4)
        return 0 if too_many else max(0, self._limit - self._written)

    def close(self) -> str | None:
        """Write the held end; nothing may follow. Returns as `write` does."""
        end, self._end = bytes(self._end[-self._end_bytes :]), bytearray()
        try:
            if self._beyond > len(end):
                end = end[end.find(b"\n") + 1 :]
                self._append(f"\n[... {self._beyond - len(end)} bytes of output left out here ...]\n".encode())
            self._append(end)
        except OSError:
            return None if self._rotate else "disk_full"
        return None

    def _hold(self, data: bytes) -> None:
        self._beyond += len(data)
        self._end += data
        if len(self._end) > 2 * self._end_bytes:  # in large steps, since each one moves all bytes
            del self._end[: -self._end_bytes]

    def _go_on(self) -> None:
        """Continue an earlier process's log; without its times, offsets begin with the present size."""
        found = os.fstat(self._file)
        known = end_of(self._path)
        self._written = found.st_size
        if known is not None and self._times is not None:
            self._offset, self._noted = known, self._times.go_on()
            return
        before = end_of(self._path + ".1") or 0
        self._offset = before + found.st_size
        self._begin_times(before)

    def _begin_times(self, base: int) -> None:
        if self._times is not None:
            self._noted = self._times.begin(base, os.fstat(self._file).st_ino)

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.open(self._path, flags, 0o600)

    def _append(self, data: bytes) -> None:
        if data and self._times is not None:
            self._noted += self._times.note(self._offset)
        while data:
            count = os.write(self._file, data)
            self._written += count
            self._offset += count
            data = data[count:]

    def _turn_over(self) -> None:
        os.replace(self._path, self._path + ".1")
        os.close(self._file)
        if self._times is not None:
            self._times.turn_over()
        self._open()
        self._written = 0
        self._begin_times(self._offset)


def tail(path: Path, max_bytes: int, *, since: int = 0) -> str:
    """The last whole lines of a log, at most `max_bytes`, none before the offset `since`; NUL is replaced."""
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
