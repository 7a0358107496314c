"""Package: a folder of the workspace becomes a content-addressed artifact."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from activities.build_slots import BuildSlots
from activities.failures import translate_errors
from activities.heartbeats import heartbeating
from activities.workspaces import BuildFolders
from contracts.builds import PACKAGE_ARTIFACT, PackageArtifact, PackagedArtifact
from contracts.stubs import implements
from domain.errors import ErrorCode, TerminalError
from drivers.artifacts.base import ArtifactStore
from drivers.artifacts.links import Origin
from drivers.builders.private import PrivateFolders

# The end of 9999, after which PostgreSQL and Python part.
_LAST_EPOCH_S = 253_402_300_799


def moment_of_commit(epoch_s: int) -> datetime | None:
    """When a commit says that it was made; None: it does not say, or no moment that can be."""
    return datetime.fromtimestamp(epoch_s, UTC) if 0 < epoch_s <= _LAST_EPOCH_S else None


class Room(Protocol):
    """Raises `TerminalError(QUOTA_EXCEEDED)` for an organization that has enough artifacts."""

    async def check(self, organization: str) -> None: ...


class ArtifactActivities:
    """Drives an artifact store. `hidden` says why instances do not find a path of the system.

    `isolated`: whether builds run in a sandbox here.
    """

    def __init__(
        self,
        store: ArtifactStore,
        folders: BuildFolders,
        slots: BuildSlots,
        room: Room,
        hidden: Callable[[str], str | None] = lambda _: None,
        *,
        isolated: bool | None = None,
    ) -> None:
        self._isolated = isolated
        self._hidden = hidden
        self._store = store
        self._room = room
        self._slots = slots
        self._folders = folders

    @implements(PACKAGE_ARTIFACT)
    @translate_errors
    async def package(self, request: PackageArtifact) -> PackagedArtifact:
        tree = self._folders.inside(request.operation_id, request.source_path, request.output_path)
        if not tree.is_dir():
            raise TerminalError(
                f"build.output {request.output_path!r} is not a folder after the build; "
                "let a build step make it, or name another one in delivery.yaml",
                code=ErrorCode.ARTIFACT_EMPTY,
            )
        checkout = self._folders.inside(request.operation_id)
        origin = Origin(checkout, PrivateFolders.of(checkout).home, self._hidden)
        organization = self._folders.organization(request.operation_id)
        async with heartbeating(), self._slots.working(request.operation_id, organization):
            await self._room.check(organization)
            epoch_s = self._folders.commit_time(request.operation_id)
            stored = await self._store.store(tree, origin, epoch_s=epoch_s)
        return PackagedArtifact(
            digest=stored.digest,
            size_bytes=stored.size_bytes,
            file_count=stored.file_count,
            committed_at=moment_of_commit(epoch_s),
            isolated=self._isolated,
        )
