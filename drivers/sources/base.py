"""Source drivers fetch one commit of a repository into a folder."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class GitCredentials:
    """Credentials of a private repository; in memory only, and not shown when printed.

    Attributes:
        token_host: the only host (`name` or `name:port`) that gets the token. user, token: for https.
        ssh_key: private key in any format that ssh reads, without a passphrase.
        known_hosts: additional lines of a `known_hosts` file.
    """

    token_host: str = ""
    user: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    ssh_key: str = field(default="", repr=False)
    known_hosts: str = field(default="", repr=False)


@dataclass(frozen=True)
class SourceRequest:
    """The commit to fetch.

    Attributes:
        url: of the repository, with a scheme that the driver allows.
        branch: name of a branch, else of a tag; `refs/heads/x` and `refs/tags/x` are exact. None: the repository's
            default branch.
        commit: full or abbreviated (>= 7) commit id; None: the tip of the branch. A full id is fetched even if the
            branch is gone.
        credentials: for a private repository.
    """

    url: str
    branch: str | None = None
    commit: str | None = None
    credentials: GitCredentials = GitCredentials()


@dataclass(frozen=True)
class FetchedTree:
    """The result: the full commit id, the branch it was resolved from, the size on disk in bytes, the commit's time.

    If the commit was fetched by its id, the branch is the requested one.
    """

    commit: str
    branch: str
    size_bytes: int
    epoch_s: int = 0


class Source(Protocol):
    """Idempotent: fetching into a folder that contains an earlier attempt starts over.

    Raises `TerminalError` with SOURCE_NOT_FOUND, SOURCE_REF_NOT_FOUND, SOURCE_FORBIDDEN or SOURCE_TOO_LARGE, and
    `DependencyError` when the remote does not answer. Cancelling the call ends all its processes.
    """

    async def fetch(self, request: SourceRequest, into: Path) -> FetchedTree: ...
