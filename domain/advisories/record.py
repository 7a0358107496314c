"""One advisory in OSV's format (https://ossf.github.io/osv-schema/), as far as it matters for the four ecosystems.

Advisories come from many databases and, with a mirror, through many hands: whatever is wrong with one of them must not
hide the others, so all that it holds is bounded, and what cannot be read is an error for that one.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Self

from pydantic import Field
from pydantic_core import from_json

from domain.findings import MAX_DESCRIPTION, MAX_LINKS, Ecosystem, Kept
from domain.foreign_text import storable
from domain.package_names import normal_name
from domain.package_versions.parsing import MAX_VERSION

MAX_RECORD: Final = 16 * 1024 * 1024
"""Bytes; the largest published ones (a kernel's) have 2 MiB."""
MAX_ALIASES: Final = 50
MAX_EVENTS: Final = 20_000
"""Of one package; the largest published ones have some hundred."""
MAX_VERSIONS: Final = 200_000
MAX_NAME: Final = 512
MAX_LINK: Final = 2048
_LINK = re.compile("https?://")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]{0,127}")
_ECOSYSTEMS: Final = {each.value: each for each in Ecosystem}


class EventKind(StrEnum):
    """What a version of a range means."""

    INTRODUCED = "introduced"
    FIXED = "fixed"
    LAST_AFFECTED = "last_affected"
    LIMIT = "limit"


Event = tuple[EventKind, str]
_KINDS: Final = {each.value: each for each in EventKind}


class Affected(Kept):
    """Which versions of one package have the weakness. A range holds for itself; so does the list of versions."""

    versions: tuple[str, ...] = ()
    ranges: tuple[tuple[Event, ...], ...] = ()


class Advisory(Kept):
    """What one database says of a weakness of one package.

    Attributes:
        modified: RFC 3339 in UTC, as it sorts.
        scores: pairs of the type of a CVSS vector (`CVSS_V3`) and the vector.
        rating: the database's own word of the severity; empty: it has none.
        withdrawn: it was taken back.
    """

    id: str
    aliases: tuple[str, ...] = ()
    modified: str = ""
    summary: str = ""
    details: str = ""
    scores: tuple[tuple[str, str], ...] = ()
    rating: str = ""
    links: Annotated[tuple[str, ...], Field(max_length=MAX_LINKS)] = ()
    affected: tuple[Affected, ...] = ()
    withdrawn: bool = False

    @property
    def ids(self) -> frozenset[str]:
        """All names of the weakness that it knows."""
        return frozenset((self.id, *self.aliases))


PackageKey = tuple[Ecosystem, str]


class Record(Kept):
    """An advisory by the packages that it is about; of other ecosystems' packages nothing is kept."""

    id: str
    modified: str
    packages: tuple[tuple[Ecosystem, str, Advisory], ...] = ()

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Raises `ValueError` with the reason, in words."""
        if len(raw) > MAX_RECORD:
            raise ValueError(f"larger than {MAX_RECORD >> 20} MiB")
        return cls.read(from_json(raw.removeprefix(b"\xef\xbb\xbf")))

    @classmethod
    def read(cls, told: Any) -> Self:
        """Of JSON that was decoded. Raises `ValueError` with the reason, in words."""
        whole = _mapping(told, "the advisory")
        advisory = Advisory(
            id=_id(whole.get("id")),
            aliases=tuple(sorted({_id(each) for each in _list(whole.get("aliases"), "aliases")}))[:MAX_ALIASES],
            modified=_moment(whole.get("modified")),
            summary=_text(whole.get("summary"), 512),
            details=_text(whole.get("details"), MAX_DESCRIPTION),
            scores=_scores(whole.get("severity")),
            rating=_rating(whole.get("database_specific")),
            links=tuple(_links(whole.get("references"))),
            withdrawn=bool(whole.get("withdrawn")),
        )
        return cls(id=advisory.id, modified=advisory.modified, packages=tuple(_by_package(advisory, whole)))


def _by_package(advisory: Advisory, whole: Mapping[str, Any]) -> Iterable[tuple[Ecosystem, str, Advisory]]:
    found: dict[PackageKey, list[Mapping[str, Any]]] = {}
    for told in _list(whole.get("affected"), "affected"):
        each = _mapping(told, "an element of affected")
        package = _mapping(each.get("package") or {}, "a package")
        # Behind a colon: of which distribution or repository.
        ecosystem = _ECOSYSTEMS.get(str(package.get("ecosystem")).partition(":")[0])
        name = package.get("name")
        if ecosystem and isinstance(name, str) and 0 < len(name) <= MAX_NAME:
            found.setdefault((ecosystem, normal_name(ecosystem, name)), []).append(each)
    for (ecosystem, name), parts in found.items():
        read = list(map(_affected, parts))
        scores = [score for part in parts for score in _scores(part.get("severity"))]
        ratings = [_rating(part.get(key)) for part in parts for key in ("database_specific", "ecosystem_specific")]
        if sum(len(events) for part in read for events in part.ranges) > MAX_EVENTS:
            raise ValueError(f"more than {MAX_EVENTS} events of one package")
        if sum(len(part.versions) for part in read) > MAX_VERSIONS:
            raise ValueError(f"more than {MAX_VERSIONS} versions of one package")
        own = {
            "affected": tuple(read),
            "scores": tuple(scores) or advisory.scores,
            "rating": next(filter(None, ratings), advisory.rating),
        }
        yield ecosystem, name, advisory.model_copy(update=own)


def _affected(told: Mapping[str, Any]) -> Affected:
    ranges = []
    for each in _list(told.get("ranges"), "ranges"):
        one = _mapping(each, "a range")
        if one.get("type") in ("SEMVER", "ECOSYSTEM"):  # GIT: commits, not versions
            ranges.append(tuple(_events(one.get("events"))))
    versions = tuple(_version(each) for each in _list(told.get("versions"), "versions"))
    return Affected(versions=versions, ranges=tuple(ranges))


def _events(told: Any) -> Iterable[Event]:
    for each in _list(told, "events"):
        for kind, version in _mapping(each, "an event").items():
            if kind in _KINDS:
                yield _KINDS[kind], _version(version)


def _version(told: Any) -> str:
    if not isinstance(told, str) or not 0 < len(told) <= MAX_VERSION:
        raise ValueError(f"a version must be a text of at most {MAX_VERSION} characters")
    return told


def _scores(told: Any) -> tuple[tuple[str, str], ...]:
    """Only what looks like it; a score that cannot be read is none."""
    pairs = (
        [(each.get("type"), each.get("score")) for each in told or () if isinstance(each, dict)]
        if _is_list(told)
        else []
    )
    return tuple(
        (str(kind), score) for kind, score in pairs[:8] if isinstance(score, str) and len(score) <= MAX_VERSION
    )


def _rating(told: Any) -> str:
    word = told.get("severity") if isinstance(told, dict) else None
    return word.lower() if isinstance(word, str) and len(word) <= 16 else ""  # noqa: PLR2004 - no word is longer


def _links(told: Any) -> Iterable[str]:
    urls = [each.get("url") for each in told if isinstance(each, dict)] if _is_list(told) else []
    good = [url for url in urls if isinstance(url, str) and _LINK.match(url) and len(url) <= MAX_LINK]
    return list(dict.fromkeys(map(storable, good)))[:MAX_LINKS]


def _moment(told: Any) -> str:
    """In UTC and to the second, so that texts sort as moments do."""
    try:
        return datetime.fromisoformat(str(told)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError):
        raise ValueError("modified must be a moment as of RFC 3339") from None


def _id(told: Any) -> str:
    if not isinstance(told, str) or not _ID.fullmatch(told):
        raise ValueError("an id must have 1 to 128 letters, digits or . _ : + -")
    return told


def _text(told: Any, most: int) -> str:
    return storable(told)[:most] if isinstance(told, str) else ""


def _mapping(told: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(told, dict):
        raise ValueError(f"{what} must be an object")  # noqa: TRY004 - to callers it is a wrong value
    return told


def _list(told: Any, what: str) -> list[Any]:
    if told is None:
        return []
    if not isinstance(told, list):
        raise ValueError(f"{what} must be a list")  # noqa: TRY004 - as above
    return told


def _is_list(told: Any) -> bool:
    return isinstance(told, list)
