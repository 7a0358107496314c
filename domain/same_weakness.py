"""One weakness under several names: databases tell of it before it has a CVE, and tools use different ones of its ids.

What was decided about it, and that it was told, must not be lost when its name changes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from domain.findings import Ecosystem, Finding, FindingKind, Severity, counts_of
from domain.package_names import normal_name

Name = tuple[str, str, str]
"""Ecosystem, package, id."""
MAX_ALIASES: Final = 50


@dataclass(frozen=True)
class Known:
    """A weakness of a dependency that is written down, in the order in which one is preferred to another.

    `key`: of its row.
    """

    key: object
    fingerprint: str
    ecosystem: str
    package: str
    ids: tuple[str, ...]


@dataclass(frozen=True)
class Settled:
    """Findings, each weakness once, under the fingerprint by which it is known.

    Attributes:
        findings: the worst first, as they came.
            replaced: keys of known ones that turned out to be the same as a preferred one.
    """

    findings: tuple[Finding, ...]
    replaced: frozenset[object]


def names_of(finding: Finding) -> tuple[Name, ...]:
    """All names of a dependency's weakness; of other kinds none, since their rules name no single one."""
    if finding.kind is not FindingKind.DEPENDENCY or finding.package is None:
        return ()
    return _names(finding.package.ecosystem, finding.package.name, (finding.rule, *finding.aliases))


def settled(findings: Sequence[Finding], known: Iterable[Known]) -> Settled:
    """Bring findings of one scan together with each other, and with what is known.

    What is known does not bring two findings together: an alias that a database took back would do so for ever.

    Args:
        findings: the worst first.
        known: those of the same packages, the preferred one first.
    """
    merged = _merged(findings)
    rows = list(known)
    by_fingerprint = {row.fingerprint: row for row in rows}
    by_name: dict[Name, list[Known]] = {}
    for row in rows:
        for name in _names(row.ecosystem, row.package, row.ids):
            by_name.setdefault(name, []).append(row)
    order = {row.fingerprint: place for place, row in enumerate(rows)}
    taken: set[str] = set()
    kept: list[Finding] = []
    replaced: set[object] = set()
    own = {one.fingerprint for group in merged for one in group}
    for group in merged:
        first = _joined(group)
        exact = {one.fingerprint for one in group} & by_fingerprint.keys()
        alike = {row.fingerprint for name in names_of(first) for row in by_name.get(name, ())} - own
        candidates = sorted((exact | alike) - taken, key=order.__getitem__)
        fingerprint = candidates[0] if candidates else first.fingerprint
        taken.update(candidates)
        replaced.update(by_fingerprint[each].key for each in candidates[1:])
        kept.append(
            first if fingerprint == first.fingerprint else first.model_copy(update={"fingerprint": fingerprint})
        )
    return Settled(tuple(kept), frozenset(replaced))


def _merged(findings: Sequence[Finding]) -> list[list[Finding]]:
    """Those of one weakness together, in the order of their first ones."""
    parents = list(range(len(findings)))
    seen: dict[object, int] = {}
    for place, finding in enumerate(findings):
        for name in (finding.fingerprint, *names_of(finding)):
            other = _root(parents, seen.setdefault(name, place))
            mine = _root(parents, place)
            parents[max(mine, other)] = min(mine, other)
    groups: dict[int, list[Finding]] = {}
    for place, finding in enumerate(findings):
        groups.setdefault(_root(parents, place), []).append(finding)
    return list(groups.values())


def _root(parents: list[int], place: int) -> int:
    while parents[place] != place:
        parents[place] = parents[parents[place]]
        place = parents[place]
    return place


def _joined(group: Sequence[Finding]) -> Finding:
    """The first one stands for all: with their names, and with what mends it."""
    first = group[0]
    if len(group) == 1:
        return first
    ids = dict.fromkeys(each for one in group for each in (one.rule, *one.aliases))
    fixed = next((one.fixed_versions for one in group if one.fixed_versions), ())
    aliases = tuple(each for each in ids if each != first.rule)[:MAX_ALIASES]
    return first.model_copy(update={"aliases": aliases, "fixed_versions": first.fixed_versions or fixed})


def less(found: Mapping[Severity, int], before: Sequence[Finding], after: Sequence[Finding]) -> dict[Severity, int]:
    """Counts by severity, less what turned out to be the same."""
    old, new = (counts_of(one.severity for one in some) for some in (before, after))
    return {severity: max(0, count - old[severity] + new[severity]) for severity, count in found.items()}


def _names(ecosystem: str, package: str, ids: Iterable[str]) -> tuple[Name, ...]:
    name = normal_name(Ecosystem(ecosystem), package)
    return tuple(dict.fromkeys((str(ecosystem), name, each) for each in ids))
