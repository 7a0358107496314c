"""Versions as Maven orders them: https://maven.apache.org/pom.html#version-order-specification.

Written from that text and compared with Maven's own `ComparableVersion` (tests/domain/package_versions). The libraries
that there are differ from it for odd versions, see docs/adr/0049.
"""

import functools
import re
from typing import Final, Union

Item = Union[int, str, "tuple[Item, ...]"]

# Those before a release, the release itself, and what follows it; unknown words come after all of them.
_ORDER: Final = {"alpha": 0, "beta": 1, "milestone": 2, "rc": 3, "snapshot": 4, "": 5, "sp": 6}
_UNKNOWN: Final = len(_ORDER)
_RELEASE: Final = (_ORDER[""], "")
_ALIASES: Final = {"ga": "", "final": "", "release": "", "cr": "rc"}
_SHORT: Final = {"a": "alpha", "b": "beta", "m": "milestone"}  # before a digit only
_PART = re.compile(r"[0-9]+|[^0-9.-]+|[.-]")
_NUMBER, _WORD, _LIST = range(3)


@functools.total_ordering
class MavenVersion:
    """Compares with others of its kind; those that Maven takes for the same are equal."""

    def __init__(self, text: str) -> None:
        self._items = _parse(text.lower())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MavenVersion) and _compare(self._items, other._items) == 0

    def __lt__(self, other: "MavenVersion") -> bool:
        return _compare(self._items, other._items) < 0

    __hash__ = None  # type: ignore[assignment]  # equal ones may be spelled in many ways


def _parse(text: str) -> Item:
    """Nested: a hyphen, and a change between digits and letters, begins a list inside of the list."""
    top: list[list[Item]] = [[]]
    parts = _PART.findall(text)
    previous = "."
    for index, part in enumerate(parts):
        following = parts[index + 1] if index + 1 < len(parts) else ""
        if part in ".-":
            if previous in (".", "-"):
                top[-1].append(0)
            if part == "-":
                top.append([])
        elif part.isdecimal() and part.isascii():
            if previous not in (".", "-"):
                top.append([])
            top[-1].append(int(part))
        else:
            if previous not in (".", "-") or (top[-1] and following not in (".", "-")):
                top.append([])
            top[-1].append(_word(part, before_digit=following[:1].isdecimal()))
        previous = part
    return _folded(top)


def _word(part: str, *, before_digit: bool) -> str:
    if before_digit and part in _SHORT:
        return _SHORT[part]
    return _ALIASES.get(part, part)


def _folded(lists: list[list[Item]]) -> Item:
    """The innermost list is the last element of the one around it, and so on; without what says nothing."""
    inner: list[Item] | None = None
    for each in reversed(lists):
        if inner is not None:
            each.append(tuple(inner))
        inner = _trimmed(each)
    return tuple(inner or ())


def _trimmed(items: list[Item]) -> list[Item]:
    """Without zeros, empty words and empty lists at its end, also those right before a list."""
    for index in range(len(items) - 1, -1, -1):
        if items[index] in (0, "", ()):
            del items[index]
        elif not isinstance(items[index], tuple):
            break
    return items


def _compare(left: Item | None, right: Item | None) -> int:
    if left is None:
        return 0 if right is None else -_compare(right, None)
    if right is None:
        return _sign(left)
    kinds = _kind(left), _kind(right)
    if kinds[0] != kinds[1]:
        # A number is after a list, a list after a word.
        rank = {_NUMBER: 2, _LIST: 1, _WORD: 0}
        return rank[kinds[0]] - rank[kinds[1]]
    if isinstance(left, tuple) and isinstance(right, tuple):
        return _compare_lists(left, right)
    a, b = (_rank(left), _rank(right)) if isinstance(left, str) and isinstance(right, str) else (left, right)
    return (a > b) - (a < b)  # type: ignore[operator]  # of one kind


def _compare_lists(left: tuple[Item, ...], right: tuple[Item, ...]) -> int:
    for index in range(max(len(left), len(right))):
        a = left[index] if index < len(left) else None
        b = right[index] if index < len(right) else None
        if result := _compare(a, b):
            return result
    return 0


def _sign(item: Item) -> int:
    """An item against nothing at all."""
    if isinstance(item, tuple):
        return next((sign for each in item if (sign := _sign(each))), 0)
    if isinstance(item, str):
        rank = _rank(item)
        return (rank > _RELEASE) - (rank < _RELEASE)
    return int(item > 0)


def _rank(word: str) -> tuple[int, str]:
    return (_ORDER[word], "") if word in _ORDER else (_UNKNOWN, word)


def _kind(item: Item) -> int:
    return _LIST if isinstance(item, tuple) else _WORD if isinstance(item, str) else _NUMBER
