"""Versions as each ecosystem orders them."""

import re
from functools import lru_cache
from typing import Any, Final, Protocol

from packaging.version import InvalidVersion, Version
from semver import Version as SemVer

from domain.findings import Ecosystem
from domain.package_versions.maven import MavenVersion

MAX_VERSION: Final = 256
"""Characters; what is longer is no version that anybody published."""
_ASKED: Final = 8192
# SemVer, and what npm and Go accept besides: `v` or `=` in front, no minor or patch number, zeros in front.
_LOOSE = re.compile(
    r"[v=]*(?P<major>[0-9]+)(\.(?P<minor>[0-9]+))?(\.(?P<patch>[0-9]+))?"
    r"(-(?P<pre>[0-9A-Za-z.-]+)|(?P<glued>[A-Za-z][0-9A-Za-z.-]*))?(\+[0-9A-Za-z.-]*)?"
)


class Comparable(Protocol):
    """Versions of one ecosystem compare with each other, and with nothing else."""

    def __lt__(self, other: Any, /) -> bool: ...
    def __gt__(self, other: Any, /) -> bool: ...
    def __le__(self, other: Any, /) -> bool: ...
    def __ge__(self, other: Any, /) -> bool: ...


@lru_cache(_ASKED)
def parse_version(ecosystem: Ecosystem, text: str) -> Comparable | None:
    """Something to compare; None: this is no version there, so nothing is known of its order."""
    if not text or len(text) > MAX_VERSION:
        return None
    if ecosystem is Ecosystem.PYPI:
        return _pep440(text)
    return MavenVersion(text) if ecosystem is Ecosystem.MAVEN else _semver(text)


def _pep440(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None


def _semver(text: str) -> SemVer | None:
    """What follows `+` says nothing of the order: also `+incompatible` of Go."""
    found = _LOOSE.fullmatch(text.strip())
    if found is None:
        return None
    major, minor, patch = (int(found[name] or 0) for name in ("major", "minor", "patch"))
    identifiers = [_identifier(each) for each in (found["pre"] or found["glued"] or "").split(".") if each]
    return SemVer(major, minor, patch, prerelease=".".join(identifiers) or None)


def _identifier(text: str) -> str:
    return text.lstrip("0") or "0" if text.isdecimal() else text
