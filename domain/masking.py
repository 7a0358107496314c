"""Masks values of secrets in the output of other programs, on bytes."""

import json
from collections.abc import Iterable

MASK = "***"
# Shorter values occur in any text, and could be guessed from the positions of the masks.
MIN_MASKED = 4
# Maximum number of values, and lines of values, to search for; each costs a search of all bytes read.
MAX_SEARCHED = 1000
# A line with more matches than this is masked completely.
MAX_FOUND = 10_000
# Number of bytes compared at each next byte; then overlapping matches (`aaaa` in `aaaaaa`) are skipped. A match costs
# as much as comparing some bytes.
MAX_COMPARED, OF_A_FIND = 16 * 1024 * 1024, 256


def masked(text: str, values: Iterable[str]) -> str:
    """The text with the values masked, plain and JSON-escaped, longest first; also line by line."""
    parts = {form for value in values for part in (value, *value.splitlines()) for form in _forms(part)}
    for part in sorted(parts, key=len, reverse=True):
        text = text.replace(part, MASK)
    return text


class Masker:
    """Finds values in lines of output, plain and JSON-escaped.

    For values with very many lines, the whole value and its first lines are searched (`MAX_SEARCHED`); its other lines
    only match a complete line of output.
    """

    def __init__(self, values: Iterable[str]) -> None:
        whole, lines = set[bytes](), dict[bytes, None]()
        for value in values:
            whole.update(_written(value))
            lines.update(dict.fromkeys(each for line in value.splitlines() for each in _written(line)))
        own = [line for line in lines if line not in whole]
        searched = {*whole, *own[: max(0, MAX_SEARCHED - len(whole))]}
        self._searched = sorted(searched, key=len, reverse=True)
        self._lines = frozenset(own) - searched
        self.longest = max(map(len, (*searched, *self._lines)), default=0)

    def found_in(self, data: bytes) -> tuple[bytes, ...]:
        """The values to look for in each line of some output; most output contains none."""
        return tuple(value for value in self._searched if value in data)

    def hidden(self, data: bytes) -> bytes:
        """Text of the same length: each byte of a value, or of a possible prefix of one at the end, becomes a star."""
        out = bytearray(data)
        for value in self.found_in(data):
            compared, at = 0, data.find(value)
            while at >= 0:
                out[at : at + len(value)] = b"*" * len(value)
                compared += len(value) + OF_A_FIND
                at = data.find(value, at + (1 if compared < MAX_COMPARED else len(value)))
        begun = self.begun_at(data)
        out[begun:] = b"*" * (len(data) - begun)
        return self._hidden_lines(bytes(out)) if self._lines else bytes(out)

    def begun_at(self, data: bytes) -> int:
        """The start of a possible prefix of a value at the end; the end if there is none."""
        return min((_begun_at(value, data) for value in self._searched), default=len(data))

    def _hidden_lines(self, data: bytes) -> bytes:
        lines = data.split(b"\n")
        return b"\n".join(b"*" * len(line) if line.strip() in self._lines else line for line in lines)

    def line(self, line: bytes, found: tuple[bytes, ...], most: int, *, is_whole: bool = True) -> bytes:
        """The first `most` bytes of a line, masked, including the rest of a value that begins in them.

        An incomplete line may end with a prefix of a value: its program was killed, or is still writing.
        """
        if self._lines and line.strip() in self._lines:
            return MASK.encode()
        spans = _spans(line, found)
        if not is_whole and (begun := self.begun_at(line)) < len(line):
            spans = sorted([*spans, (begun, len(line))])
        if len(spans) > MAX_FOUND:
            return MASK.encode()
        out, at = bytearray(), 0
        for begin, end in _merged(spans):
            if begin >= most:
                break
            out += line[at:begin] + MASK.encode()
            at = end
        return bytes(out + line[at : max(at, most)])


def _written(value: str) -> set[bytes]:
    """A value in the forms that a program may write; too short ones are left out."""
    return {form.encode(errors="surrogatepass") for form in _forms(value)}


def _forms(value: str) -> set[str]:
    forms = {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    return {form for form in forms if len(form) >= MIN_MASKED and form.strip()}


def _begun_at(value: bytes, data: bytes) -> int:
    least = value[:MIN_MASKED]
    at = data.find(least, max(0, len(data) - len(value) + 1))
    for _ in range(MAX_FOUND):
        if at < 0:
            return len(data)
        if data.endswith(value[: len(data) - at]):
            return at
        at = data.find(least, at + 1)
    return at  # too many matches: treated as in a line with more than MAX_FOUND


def _spans(line: bytes, values: Iterable[bytes]) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    for value in values:
        begin = line.find(value)
        while begin >= 0 and len(spans) <= MAX_FOUND:
            spans.append((begin, begin + len(value)))
            begin = line.find(value, begin + 1)
    return sorted(spans)


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Merge spans that touch or overlap."""
    merged: list[tuple[int, int]] = []
    for begin, end in spans:
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged
