"""Source drivers bring one commit of a repository into a folder."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class GitCredentials:
    """What opens a private repository; held in memory only, and not shown when printed.

    Attributes:
        token_host: the one host (`name` or `name:port`) that gets the token.
        user, token: for https.
        ssh_key: private key in any format that ssh reads, without a passphrase.
        known_hosts: lines of a `known_hosts` file, besides those that the driver knows.
    """

    token_host: str = ""
    user: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    ssh_key: str = field(default="", repr=False)
    known_hosts: str = field(default="", repr=False)


@dataclass(frozen=True)
class SourceRequest:
    """What to fetch.

    Attributes:
        url: repository address, of a scheme the driver allows.
        branch: name of a branch, else of a tag; `refs/heads/x` and `refs/tags/x` mean just that one. None: the
            repository's default branch.
        commit: full or abbreviated (>= 7) commit id; None means the tip of the branch. A full one is asked for by
            itself, whether the branch is still there or not.
        credentials: what opens it, if it is private.
    """

    url: str
    branch: str | None = None
    commit: str | None = None
    credentials: GitCredentials = GitCredentials()


@dataclass(frozen=True)
class FetchedTree:
    """What arrived: the full commit id, the branch it was resolved from, the size on disk in bytes, the commit's time.

    The branch is the one asked for where the commit was found by its own id.
    """

    commit: str
    branch: str
    size_bytes: int
    epoch_s: int = 0


class Source(Protocol):
    """Idempotent: fetching into a folder that holds an earlier attempt starts that folder anew.

    Raises `TerminalError` with SOURCE_NOT_FOUND, SOURCE_REF_NOT_FOUND, SOURCE_FORBIDDEN or SOURCE_TOO_LARGE, and
    `DependencyError` when the remote does not answer. Cancelling the call ends every process it started.
    """

    async def fetch(self, request: SourceRequest, into: Path) -> FetchedTree: ...
