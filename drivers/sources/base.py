"""Source drivers bring one commit of a repository into a folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class SourceRequest:
    """What to fetch.

    Attributes:
        url: repository address, of a scheme the driver allows.
        branch: branch (or tag) name; None means the repository's default branch.
        commit: full or abbreviated (>= 7) commit id; None means the tip of the branch.
    """

    url: str
    branch: str | None = None
    commit: str | None = None


@dataclass(frozen=True)
class FetchedTree:
    """What arrived: the full commit id, the branch it was resolved from, and the size on disk in bytes."""

    commit: str
    branch: str
    size_bytes: int


class Source(Protocol):
    """Idempotent: fetching into a folder that holds an earlier attempt starts that folder anew.

    Raises `TerminalError` with SOURCE_NOT_FOUND, SOURCE_REF_NOT_FOUND, SOURCE_FORBIDDEN or SOURCE_TOO_LARGE, and
    `DependencyError` when the remote does not answer. Cancelling the call ends every process it started.
    """

    async def fetch(self, request: SourceRequest, into: Path) -> FetchedTree: ...
