"""Artifact drivers store build results, addressed by their content."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from drivers.artifacts.links import Origin

# In an archive: what a build installed below HOME. No folder of a repository may have this name.
PACKED_HOME = ".delivery-home"


@dataclass(frozen=True)
class StoredArtifact:
    """`digest` is `sha256:<hex>` of the stored archive; the same tree always gives the same digest."""

    digest: str
    size_bytes: int
    file_count: int


class ArtifactStore(Protocol):
    """Both directions are idempotent: storing twice stores once, unpacking twice leaves one complete tree.

    Every file of a stored tree has the modification time `epoch_s` (seconds since 1970), the commit's. `store` takes a
    tree of the checkout that `origin` describes, and what was installed below HOME, which `unpack` puts into
    `PACKED_HOME`; `place` returns the tree's path in the checkout.

    `store` raises `TerminalError` with ARTIFACT_EMPTY, ARTIFACT_TOO_LARGE or DISK_FULL; special files, and links that
    are dangling in an instance, are refused with a clear `TerminalError`. `unpack` and `place` raise
    ARTIFACT_UNAVAILABLE when the digest is unknown or the stored bytes no longer match it. A crash never leaves a
    partial artifact under its final name. `remove` of a missing artifact succeeds.
    """

    async def store(self, tree: Path, origin: Origin | None = None, *, epoch_s: int = 0) -> StoredArtifact: ...

    async def exists(self, digest: str) -> bool: ...

    async def remove(self, digest: str, *, older_than_s: float = 0) -> bool: ...

    async def place(self, digest: str) -> str: ...

    async def unpack(self, digest: str, into: Path) -> None: ...
