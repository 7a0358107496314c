"""How bad a weakness is: by its CVSS vectors, or else by the word of the database that tells of it."""

from collections.abc import Iterable
from typing import Final

from cvss import CVSS2, CVSS3, CVSS4
from cvss.exceptions import CVSSError

from domain.advisories.record import Advisory
from domain.findings import Kept, Severity

MALICIOUS: Final = "MAL-"
"""How ids of packages begin that were made to do harm (https://github.com/ossf/malicious-packages)."""
_CRITICAL, _HIGH, _MEDIUM = 9.0, 7.0, 4.0  # https://www.first.org/cvss/v3.1/specification-document, 5
_WORDS: Final = {
    "critical": Severity.CRITICAL,
    "high": Severity.HIGH,
    "important": Severity.HIGH,
    "moderate": Severity.MEDIUM,
    "medium": Severity.MEDIUM,
    "low": Severity.LOW,
}
_RANK: Final = [Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM, Severity.LOW, Severity.UNKNOWN]
_READERS: Final = {"CVSS_V2": CVSS2, "CVSS_V3": CVSS3, "CVSS_V4": CVSS4}


class Rated(Kept):
    """A severity and what it rests on. No `score`: on a database's word, or on nothing."""

    severity: Severity = Severity.UNKNOWN
    score: float | None = None
    vector: str | None = None


def rate(advisories: Iterable[Advisory]) -> Rated:
    """Of advisories of one weakness: the highest score of CVSS 3 and 4; else of CVSS 2; else the worst word."""
    known = list(advisories)
    read = [found for each in known for kind, vector in each.scores if (found := _read(kind, vector))]
    newest = [(score, vector) for kind, score, vector in read if kind != "CVSS_V2"]
    scored = newest or [(score, vector) for _, score, vector in read]
    if scored:
        score, vector = max(scored)
        return Rated(severity=_level(score, is_old=not newest), score=score, vector=vector)
    words = [_WORDS[each.rating] for each in known if each.rating in _WORDS]
    if any(each.id.startswith(MALICIOUS) for each in known):
        words.append(Severity.CRITICAL)
    return Rated(severity=min(words, key=_RANK.index, default=Severity.UNKNOWN))


def rank(severity: Severity) -> int:
    """0 is the worst."""
    return _RANK.index(severity)


def _level(score: float, *, is_old: bool) -> Severity:
    if score >= _CRITICAL and not is_old:  # CVSS 2 ends with high
        return Severity.CRITICAL
    if score >= _HIGH:
        return Severity.HIGH
    return Severity.MEDIUM if score >= _MEDIUM else Severity.LOW


def _read(kind: str, vector: str) -> tuple[str, float, str] | None:
    reader = _READERS.get(kind)
    if reader is None:
        return None
    try:
        return kind, float(reader(vector).scores()[0]), vector
    except (CVSSError, ValueError, ArithmeticError, LookupError):
        return None
