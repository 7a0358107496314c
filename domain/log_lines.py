"""Splits bytes of a log into lines: masked, cut if too long, fit for JSON.

A position in a log is an offset in bytes. After a line feed a line begins; any other position is within a line that was
cut, whose rest is not shown. So the offset is enough to continue.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from domain.foreign_text import storable
from domain.masking import Masker

MAX_LINE = 16 * 1024
CUT = " [... cut: the line is longer than 16 KiB]"
MISSED = "[... {count} bytes are not kept any more]"
WITHOUT_BEGINNING = "[... the rest of a line whose beginning is not kept any more, or too far away]"


@dataclass(frozen=True)
class LogLine:
    """`offset`: of its first byte."""

    offset: int
    text: str


@dataclass(frozen=True)
class LogPiece:
    """Some lines, and the position to continue at."""

    lines: Sequence[LogLine]
    end: int


def wanted_bytes(most: int, masker: Masker) -> int:
    """Number of bytes to read for `take_lines`: enough of a cut line to recognise a secret at the cut."""
    return max(most, MAX_LINE) + masker.longest


def take_lines(
    data: bytes, at: int, *, masker: Masker, most: int, within: bool = False, final: bool = False
) -> LogPiece:
    """The lines that begin in the first `most` bytes.

    Args:
        data: the bytes at `at`, up to `wanted_bytes`.
        at: its offset.
        masker: hides secrets.
        most: number of bytes to consume, not counting the end of the last line.
        within: `at` is within a line that was cut: its rest is skipped.
        final: the log is complete, so a last line without line feed counts as a line.
    """
    begin = _behind_line(data) if within else 0
    found = masker.found_in(data)
    lines: list[LogLine] = []
    while begin < min(len(data), most):
        end = data.find(b"\n", begin)
        line = data[begin : end if end >= 0 else len(data)]
        if end < 0 and not final and len(line) < MAX_LINE + masker.longest:
            break
        lines.append(LogLine(at + begin, _shown(line, masker, found, is_whole=end >= 0)))
        begin = len(data) if end < 0 else end + 1
    return LogPiece(lines, at + begin)


def _behind_line(data: bytes) -> int:
    end = data.find(b"\n")
    return len(data) if end < 0 else end + 1


def _shown(line: bytes, masker: Masker, found: tuple[bytes, ...], *, is_whole: bool) -> str:
    shown = masker.line(line.removesuffix(b"\r"), found, MAX_LINE, is_whole=is_whole)
    text = storable(shown.decode(errors="replace"))
    return text + CUT if len(line) > MAX_LINE else text
