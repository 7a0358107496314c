"""Workspaces: where an operation's source is built. One folder an operation, on the worker that made it."""

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from activities.build_slots import BuildSlots
from activities.failures import translate_errors
from activities.heartbeats import heartbeating
from contracts.builds import CLOSE_WORKSPACE, OPEN_WORKSPACE, CloseWorkspace, OpenWorkspace, Workspace
from contracts.payload import Nothing
from contracts.stubs import implements
from domain.errors import ErrorCode, TerminalError
from drivers import sandbox
from drivers.artifacts.links import Origin, Way, is_below
from drivers.folders import finish_in_thread, remove_tree
from drivers.shim import client
from runtime.files import write_whole

_COMMITTED = "committed"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class BuildFolders:
    """Where the build side keeps things below the data folder."""

    data_dir: Path

    def workspace(self, operation_id: UUID) -> Path:
        """All of an operation's build: `tree/` is the checkout, `state/` the shim's files."""
        return self.data_dir / "workspaces" / str(operation_id)

    def make(self, operation_id: UUID, organization: str, project: str = "") -> None:
        """The empty workspace of an organization's operation; one that is there stays."""
        self.tree(operation_id).mkdir(parents=True, exist_ok=True)
        for name, owner in (("organization", organization), ("project", project)):
            write_whole(self.workspace(operation_id) / name, owner, sync=False)

    def organization(self, operation_id: UUID) -> str:
        """The owner of the workspace, as given to `make`."""
        return self._owner(operation_id, "organization")

    def project(self, operation_id: UUID) -> str:
        """The same."""
        return self._owner(operation_id, "project")

    def _owner(self, operation_id: UUID, name: str) -> str:
        try:
            return (self.workspace(operation_id) / name).read_text(encoding="utf-8")
        except FileNotFoundError:  # made by an older version
            return ""

    def tree(self, operation_id: UUID) -> Path:
        return self.workspace(operation_id) / "tree"

    def state(self, operation_id: UUID, step: str) -> Path:
        return self.workspace(operation_id) / "state" / step

    def scan(self, operation_id: UUID) -> Path:
        """Where scanners keep their own files, and each in `<tool>/shim` what ends its processes."""
        return self.workspace(operation_id) / "scan"

    def log(self, operation_id: UUID, step: str) -> Path:
        """The log of a step; it outlives the workspace."""
        return self.data_dir / "logs" / "operations" / str(operation_id) / f"{step}.log"

    def note_commit_time(self, operation_id: UUID, epoch_s: int) -> None:
        """Remember when the commit in the workspace was made, in seconds since 1970."""
        write_whole(self.workspace(operation_id) / _COMMITTED, str(epoch_s), sync=False)

    def commit_time(self, operation_id: UUID) -> int:
        """The value given to `note_commit_time`; 0 in a workspace of an older engine."""
        try:
            return int((self.workspace(operation_id) / _COMMITTED).read_text())
        except (FileNotFoundError, ValueError):
            return 0

    def operations(self) -> list[UUID]:
        """Whose workspaces there are."""
        home = self.data_dir / "workspaces"
        names = [path.name for path in home.iterdir()] if home.is_dir() else []
        return [UUID(name) for name in names if _UUID.fullmatch(name)]

    async def remove(self, operation_id: UUID) -> None:
        """End what still runs in a workspace, then remove it; one that is not there is fine."""
        folder = self.workspace(operation_id)
        for state in await asyncio.to_thread(lambda: sorted((*folder.glob("state/*"), *folder.glob("scan/*/shim")))):
            await client.stop(state)
        await finish_in_thread(remove_tree, folder)

    def inside(self, operation_id: UUID, *parts: str) -> Path:
        """A path below the tree that the delivery spec names; leaving the tree is a fault of the spec."""
        root = self.tree(operation_id).resolve()
        way = Way(Origin(root).roots)  # links of a build name its own paths
        end = way.end(sandbox.APP, "/".join(parts), stop_inside=())
        if end is None or not is_below(end, sandbox.APP):
            raise TerminalError(
                f"{'/'.join(parts)!r}, which the project or its delivery.yaml names, leads out of the repository",
                code=ErrorCode.SPEC_INVALID,
            )
        return Path(way.real(end))


class WorkspaceActivities:
    """Open and close workspaces, each with a build slot. `queue` is polled by the workers that see this data folder."""

    def __init__(self, folders: BuildFolders, queue: str, slots: BuildSlots) -> None:
        self._folders = folders
        self._queue = queue
        self._slots = slots

    @implements(OPEN_WORKSPACE)
    @translate_errors
    async def open(self, request: OpenWorkspace) -> Workspace:
        organization = str(request.organization_id or "")
        async with heartbeating():
            await self._slots.take(request.operation_id, organization)
        try:
            project = str(request.project_id or "")
            await asyncio.to_thread(self._folders.make, request.operation_id, organization, project)
        except BaseException:
            self._slots.give_back(request.operation_id)
            raise
        return Workspace(operation_id=request.operation_id, queue=self._queue)

    @implements(CLOSE_WORKSPACE)
    @translate_errors
    async def close(self, request: CloseWorkspace) -> Nothing:
        try:
            await self._folders.remove(request.operation_id)
        finally:
            self._slots.give_back(request.operation_id)
        return Nothing()
