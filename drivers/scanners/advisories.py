"""What is known of the weaknesses of packages. The base of all that look in a collection of advisories.

Used by a scan of a tree (`dependencies.py`) and, without any tree, by a re-scan of packages that were stored with a
build.
"""

from collections.abc import Sequence
from typing import Final, Protocol

from pydantic import BaseModel, ConfigDict

from domain.findings import Finding, Package

TOOL: Final = "advisories"
"""The name of findings and runs of this scanner."""


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


class NoAdvisories:
    """None are set up."""

    async def match(self, packages: Sequence[Package]) -> Matched:
        """Nothing is known, which is a fault unless there is nothing to know of."""
        return Matched(fault=NOT_SET_UP if packages else None)


NOT_SET_UP: Final = (
    "no advisories are set up, so dependencies were not looked at: set DELIVERY_ADVISORIES_DIR (a mirror) or "
    "DELIVERY_ADVISORIES_URL (a service), see docs/advisories.md"
)
