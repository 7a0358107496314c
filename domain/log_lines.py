"""Lines of a log, taken from a piece of its bytes: masked, cut where they are too long, fit for JSON.

A place in a log is an offset in bytes. Behind a line feed a line begins; any other place is within a line that was cut,
of which no more is shown. So a place says all that is needed to go on there.
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
    """`offset`: where it begins, in bytes."""

    offset: int
    text: str


@dataclass(frozen=True)
class LogPiece:
    """Some lines, and the place to go on at."""

    lines: Sequence[LogLine]
    end: int


def wanted_bytes(most: int, masker: Masker) -> int:
    """How many bytes to read for `take_lines`: of a line that is cut so many that a secret in the cut is known."""
    return max(most, MAX_LINE) + masker.longest


def take_lines(
    data: bytes, at: int, *, masker: Masker, most: int, within: bool = False, final: bool = False
) -> LogPiece:
    """The lines that begin in the first `most` bytes of what is there.

    Args:
        data: what stands at `at`, as much as `wanted_bytes` tells if there is so much.
        at: its offset.
        masker: of what must not be shown.
        most: how many bytes to use up, but for the end of the last line.
        within: `at` is within a line that was cut: the rest of it is passed over.
        final: nothing comes any more, so that what has no line feed is a line, too.
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
