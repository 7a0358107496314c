"""Whether a version has a weakness: OSV's evaluation (https://ossf.github.io/osv-schema/#evaluation)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from domain.advisories.record import Advisory, Affected, Event, EventKind
from domain.findings import Ecosystem
from domain.package_versions.parsing import Comparable, parse_version

_BEGINNING: Final = "0"
"""Of `introduced`: before every version, also before those that sort below 0."""
_NO_LIMIT: Final = "*"
# At one version: what ends, then what begins there, then what holds up to and with it.
_ORDER: Final = {EventKind.FIXED: 0, EventKind.INTRODUCED: 1, EventKind.LAST_AFFECTED: 2, EventKind.LIMIT: 3}


class UnreadableRangeError(Exception):
    """A range has a version that this ecosystem does not know."""


@dataclass(frozen=True)
class Installed:
    """A version, as text and to compare. `known` None: it has no order, so only lists of versions tell of it."""

    ecosystem: Ecosystem
    text: str
    known: Comparable | None

    @classmethod
    def of(cls, ecosystem: Ecosystem, text: str) -> "Installed":
        """As a package or an advisory spells it; Go's `v` in front is none of OSV's."""
        plain = text.removeprefix("v") if ecosystem is Ecosystem.GO else text
        return cls(ecosystem, plain, parse_version(ecosystem, plain))


def is_affected(version: Installed, advisory: Advisory) -> bool:
    """By its lists or its ranges.

    Raises:
        UnreadableRangeError: none of those that can be read holds it, and one cannot be read.
    """
    unreadable: UnreadableRangeError | None = None
    for affected in advisory.affected:
        if _is_listed(version, affected):
            return True
        for events in affected.ranges:
            try:
                if _is_in_range(version, events):
                    return True
            except UnreadableRangeError as error:
                unreadable = error
    if unreadable:
        raise unreadable
    return False


def fixes(version: Installed, advisories: Sequence[Advisory], most: int) -> list[str]:
    """Versions after this one with which all of the advisories' weaknesses are gone, the nearest first."""
    if version.known is None:
        return []
    told = {text for advisory in advisories for text in _told_fixes(advisory)}
    later = []
    for text in told:
        known = parse_version(version.ecosystem, text)
        if known is not None and known > version.known:
            later.append(Installed(version.ecosystem, text, known))
    later.sort(key=lambda each: (each.known, each.text))
    return [each.text for each in later[: most * 2] if not _any_affects(each, advisories)][:most]


def _told_fixes(advisory: Advisory) -> Iterable[str]:
    for affected in advisory.affected:
        for events in affected.ranges:
            yield from (text for kind, text in events if kind is EventKind.FIXED)


def _any_affects(version: Installed, advisories: Sequence[Advisory]) -> bool:
    for advisory in advisories:
        try:
            if is_affected(version, advisory):
                return True
        except UnreadableRangeError:
            continue
    return False


def _is_listed(version: Installed, affected: Affected) -> bool:
    if version.text in affected.versions:
        return True
    if version.ecosystem is not Ecosystem.PYPI or version.known is None:
        return False
    return any(parse_version(version.ecosystem, each) == version.known for each in affected.versions)


def _is_in_range(version: Installed, events: Sequence[Event]) -> bool:
    if version.known is None:
        return False
    here = version.known
    marks = [(_key(version.ecosystem, kind, text), kind) for kind, text in events if text != _NO_LIMIT]
    limits = [key for key, kind in marks if kind is EventKind.LIMIT and key is not None]
    if limits and not any(here < limit for limit in limits):
        return False
    begun = sorted((mark for mark in marks if mark[0] is not None), key=lambda mark: (mark[0], _ORDER[mark[1]]))
    inside = any(key is None for key, _ in marks)  # from the beginning
    for key, kind in begun:
        if kind is EventKind.INTRODUCED and here >= key:
            inside = True
        elif (kind is EventKind.FIXED and here >= key) or (kind is EventKind.LAST_AFFECTED and here > key):
            inside = False
    return inside


def _key(ecosystem: Ecosystem, kind: EventKind, text: str) -> Comparable | None:
    """None: the very beginning."""
    if kind is EventKind.INTRODUCED and text == _BEGINNING:
        return None
    known = parse_version(ecosystem, text)
    if known is None:
        raise UnreadableRangeError(text)
    return known
