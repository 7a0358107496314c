"""Scanner drivers look through a tree for weaknesses and secrets. A tree is a stranger's: nothing in it is believed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from pydantic import BaseModel, ConfigDict

from domain.findings import Finding, Package

MAX_FAULT = 1000
# The name of what reads `scan.sarif`, and the tool of its findings, whoever wrote them.
SARIF: Final = "sarif"


@dataclass(frozen=True)
class ScanOrder:
    """What to look through.

    Attributes:
        key: idempotency key; a second scan with the same key first ends the processes of the first.
        tree: the service's folder; what is found has its place below it.
        scratch: a folder for the tools' own files, outside of the tree; made and emptied by the scan.
        root: the checkout that holds `tree`; None: is it.
        tools: names of scanners, as in `scan.tools`; none: all that suit.
        sarif: reports that the build wrote, as in `scan.sarif`: paths below `tree`.
        timeout_s: wall seconds for all scanners together.
        organization, project: whose it is, for its way out.
    """

    key: str
    tree: Path
    scratch: Path
    root: Path | None = None
    tools: tuple[str, ...] = ()
    sarif: tuple[str, ...] = ()
    timeout_s: float = 600
    organization: str = ""
    project: str = ""


@dataclass(frozen=True)
class Sources:
    """The tree as it was seen once for all scanners.

    Attributes:
        order: whose tree it is.
        files: bytes by path below the tree, by alphabet: regular files alone. Links are no sources, wherever they lead;
            folders of installed dependencies and of version control (`drivers.scanners.listing`) are left out.
    """

    order: ScanOrder
    files: dict[str, int] = field(default_factory=dict)

    @property
    def tree(self) -> Path:
        return self.order.tree

    def named(self, *names: str) -> tuple[str, ...]:
        """The paths whose last part is one of these, whatever their case."""
        wanted = {name.lower() for name in names}
        return tuple(path for path in self.files if path.rpartition("/")[2].lower() in wanted)

    def ending(self, *suffixes: str) -> tuple[str, ...]:
        """The paths that end on one of these (`.py`), whatever their case."""
        return tuple(path for path in self.files if path.lower().endswith(suffixes))


class Report(BaseModel):
    """What one scanner says of a tree. It crosses processes as JSON.

    `version`: of the tool. `fault`: why it has no result, or not all of it; what it found besides still counts.
    """

    model_config = ConfigDict(frozen=True)

    findings: tuple[Finding, ...] = ()
    packages: tuple[Package, ...] = ()
    version: str = ""
    advisories_as_of: str | None = None
    notices: tuple[str, ...] = ()
    fault: str | None = None


class ScannerFaultError(Exception):
    """The tool has no result. The message goes on after "it": `took longer than 60 s and was ended`. No secrets."""


class Scanner(Protocol):
    """One tool.

    Attributes:
        name: as in `scan.tools`, `DELIVERY_SCANNERS` and `ToolRun.tool`.
    """

    name: str

    def suits(self, sources: Sources) -> bool:
        """Whether there is anything for it to look at. It reads no file."""
        ...

    async def scan(self, sources: Sources, *, timeout_s: float) -> Report:
        """Look through the tree. Cancelling the call (CancelledError) ends all of its processes before it returns.

        Raises:
            ScannerFaultError: the tool has no result.
        """
        ...


def names(scanners: Sequence[Scanner]) -> str:
    """For messages."""
    return ", ".join(sorted(scanner.name for scanner in scanners)) or "none"
