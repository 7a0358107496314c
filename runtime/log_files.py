"""Log files that other processes write at the same moment, read in bounded pieces.

Places are offsets in bytes from the beginning of a log, over all files that it had: they stay the same when the file is
turned over. Links, and what is no plain file, are not read.
"""

import os
import stat
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

# Beside `<log>`; the format is described where it is written (drivers/shim/times.py).
OLDER, TIMES = ".1", ".times"
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LONGEST_TIME = 80
_BLOCK = 64 * 1024
_TRIES, _PAUSE_S = 4, 0.005


@dataclass(frozen=True)
class RawPiece:
    """Bytes of a log.

    Attributes:
        data: what stands at `at`.
        at: as asked for; later when what was there is not kept any more.
        end: behind the last byte there is.
        within: `at` is not the beginning of a line.
    """

    data: bytes = b""
    at: int = 0
    end: int = 0
    within: bool = False

    @property
    def is_last(self) -> bool:
        """Nothing follows (now)."""
        return self.at + len(self.data) >= self.end


class Moment(NamedTuple):
    """What stands at `offset` was written at `ms` (since 1970)."""

    offset: int
    ms: int


class _File(NamedTuple):
    """One open file of a log, whose first byte has the offset `base`; `times` is open as well, None: there are none."""

    descriptor: int
    base: int
    size: int
    inode: int
    times: int | None

    @property
    def end(self) -> int:
        return self.base + self.size


def read_plain(path: Path, place: int, count: int) -> RawPiece:
    """A piece of a log that is one file and only grows; nothing of one that is not there."""
    with ExitStack() as stack:
        opened = _open(path, stack)
        if opened is None:
            return RawPiece(at=place, end=0)
        descriptor, found = opened
        return _piece([_File(descriptor, 0, found.st_size, found.st_ino, None)], place, count)


class RotatedLog:
    """A log of a long life: `<path>.1` is its older file.

    Args:
        path: of its newest file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, place: int, count: int) -> RawPiece:
        """A piece; nothing of a log that is not there."""
        with self._files() as files:
            return _piece(files, place, count)

    def bounds(self) -> tuple[int, int]:
        """The first offset that is kept, and the one behind the last."""
        with self._files() as files:
            return (files[0].base, files[-1].end) if files else (0, 0)

    def moments(self, begin: int, end: int) -> Sequence[Moment]:
        """When what is between two offsets was written: by growing offsets, the first at or before `begin`."""
        with self._files() as files:
            asked = [file for file in files if file.end > begin and file.base <= end]
            return [moment for file in asked for moment in _between(file, begin, end)]

    def since(self, ms: int) -> int:
        """The first offset that was written at or after a moment; the end when there is none, or no times."""
        with self._files() as files:
            for file in files:
                found = _first_since(file, ms)
                if found is not None:
                    return found
            return files[-1].end if files else 0

    @contextmanager
    def _files(self) -> Iterator[list[_File]]:
        """The older and the newer file; tried again while they are being turned over."""
        for attempt in range(_TRIES):
            with ExitStack() as stack:
                newer, older = self._opened(self._path, stack), self._opened(_named(self._path, OLDER), stack)
                turned = newer is not None and older is not None and newer.inode == older.inode
                known = all(each is None or each.times is not None for each in (newer, older))
                last = attempt == _TRIES - 1
                if (known and not turned) or last:
                    yield _in_order(older if not turned else None, newer)
                    return
            time.sleep(_PAUSE_S)

    @staticmethod
    def _opened(path: Path, stack: ExitStack) -> _File | None:
        opened = _open(path, stack)
        if opened is None:
            return None
        descriptor, found = opened
        times = _open(_named(path, TIMES), stack)
        base = _base(times[0], found.st_ino) if times else None
        if times is None or base is None:
            return _File(descriptor, 0, found.st_size, found.st_ino, None)
        return _File(descriptor, base, found.st_size, found.st_ino, times[0])


def moment_of(moments: Sequence[Moment], offset: int) -> int | None:
    """When a line at an offset was written, in ms since 1970; None: nobody knows."""
    at = bisect_right(moments, offset, key=lambda moment: moment.offset)
    return moments[at - 1].ms if at else None


def _in_order(older: _File | None, newer: _File | None) -> list[_File]:
    if older is None or newer is None:
        return [each for each in (older, newer) if each is not None]
    if newer.base < older.end:  # no times: of a shim of an older release
        newer = newer._replace(base=older.end)
    return [older, newer]


def _named(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _open(path: Path, stack: ExitStack) -> tuple[int, os.stat_result] | None:
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError:
        return None
    stack.callback(os.close, descriptor)
    found = os.fstat(descriptor)
    return (descriptor, found) if stat.S_ISREG(found.st_mode) else None


def _base(times: int, inode: int) -> int | None:
    """The offset of a file's first byte; None: the times are another file's."""
    with suppress(ValueError):
        base, _, owner = os.pread(times, 2 * _LONGEST_TIME, 0).partition(b"\n")[0].split()
        return int(base) if int(owner) == inode else None
    return None


def _piece(files: Sequence[_File], place: int, count: int) -> RawPiece:
    if not files:
        return RawPiece(at=place, end=0)
    at = max(place, files[0].base)
    begin = max(files[0].base, at - 1)
    data = b"".join(_part(file, begin, at + count) for file in files)
    # What stands before the first byte that is kept is not known: it is taken for the middle of a line.
    within = data[:1] != b"\n" if begin < at else at > 0
    return RawPiece(data[at - begin :], at, files[-1].end, within)


def _part(file: _File, begin: int, end: int) -> bytes:
    first, last = max(begin, file.base), min(end, file.end)
    return os.pread(file.descriptor, last - first, first - file.base) if first < last else b""


def _between(file: _File, begin: int, end: int) -> list[Moment]:
    found: list[Moment] = []
    for moment in _moments(file, lambda known: known.offset <= begin):
        if moment.offset > end:
            break
        if moment.offset <= begin:
            found.clear()
        found.append(moment)
    return found


def _first_since(file: _File, ms: int) -> int | None:
    found = (moment.offset for moment in _moments(file, lambda known: known.ms < ms) if moment.ms >= ms)
    return next(found, None)


def _moments(file: _File, before: Callable[[Moment], bool]) -> Iterator[Moment]:
    """The times of a file, from a bit before the first one that is not `before` what is looked for."""
    if file.times is None:
        return
    low, high = 0, os.fstat(file.times).st_size
    while high - low > _BLOCK:
        middle = (low + high) // 2
        _, line_feed, rest = os.pread(file.times, 2 * _LONGEST_TIME, middle).partition(b"\n")
        moment = _parsed(rest.partition(b"\n")[0]) if line_feed else None
        if moment is not None and before(moment):
            low = middle
        else:
            high = middle
    yield from _from(file.times, low)


def _from(times: int, place: int) -> Iterator[Moment]:
    rest = b""
    if place:
        place -= 1
    skip = place > 0
    while block := os.pread(times, _BLOCK, place):
        place += len(block)
        *lines, rest = (rest + block).split(b"\n")
        for line in lines[1:] if skip else lines:
            if moment := _parsed(line):
                yield moment
        skip = False


def _parsed(line: bytes) -> Moment | None:
    with suppress(ValueError):
        offset, ms, *_ = line.split()
        return Moment(int(offset), int(ms))
    return None
