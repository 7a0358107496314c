"""What is known of the weaknesses of packages. The base of all that look in a collection of advisories.

Used by a scan of a tree (`dependencies.py`) and, without any tree, by a re-scan of packages that were stored with a
build.
"""

from collections.abc import Sequence
from typing import Final, Protocol

from pydantic import BaseModel, ConfigDict

from domain.advisories.matching import TOOL, Judged
from domain.findings import MAX_FINDINGS, Finding, Package

NAMED: Final = 5


__all__ = ["NOT_SET_UP", "TOOL", "Advisories", "Matched", "NoAdvisories", "notices_of"]


class Matched(BaseModel):
    """What the advisories say of some packages.

    Attributes:
        findings: one for each weakness of a package, however many advisories tell of it; the worst first.
        as_of: RFC 3339, when the newest advisory was changed; None: none were looked at.
        fault: why it is not known of all of the packages; then they are not clean where there is no finding.
        notices: what a reader should know besides: advisories that are old, or that could not be read.
    """

    model_config = ConfigDict(frozen=True)

    findings: tuple[Finding, ...] = ()
    as_of: str | None = None
    fault: str | None = None
    notices: tuple[str, ...] = ()


class Advisories(Protocol):
    """A collection of advisories."""

    async def match(self, packages: Sequence[Package]) -> Matched:
        """The weaknesses of packages. Never raises for a fault of the collection: that is `fault`."""
        ...

    async def close(self) -> None:
        """Let go of connections and processes."""
        ...


class NoAdvisories:
    """None are set up."""

    async def match(self, packages: Sequence[Package]) -> Matched:
        """Nothing is known, which is a fault unless there is nothing to know of."""
        return Matched(fault=NOT_SET_UP if packages else None)

    async def close(self) -> None:
        """There is nothing."""


NOT_SET_UP: Final = (
    "no advisories are set up on this engine, so dependencies were not looked at: its operator sets "
    "DELIVERY_ADVISORIES_DIR (a mirror) or DELIVERY_ADVISORIES_URL (a service), see docs/advisories.md"
)


def notices_of(judged: Judged) -> list[str]:
    """What could not be compared, and what was too much."""
    told = []
    if judged.unreadable:
        told.append(f"advisories with versions that cannot be compared: {_some(judged.unreadable)}")
    if judged.incomparable:
        told.append(f"versions that cannot be compared with advisories: {_some(judged.incomparable)}")
    if len(judged.findings) > MAX_FINDINGS:
        told.append(f"{len(judged.findings)} weaknesses; the worst {MAX_FINDINGS} are listed")
    return told


def _some(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
