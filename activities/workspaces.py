"""Workspaces: where an operation's source is built. One folder an operation, on the worker that made it."""

import asyncio
import shutil
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from activities.failures import reported
from contracts.builds import CLOSE_WORKSPACE, OPEN_WORKSPACE, CloseWorkspace, OpenWorkspace, Workspace
from contracts.payload import Nothing
from contracts.stubs import implements
from domain.errors import ErrorCode, TerminalError


@dataclass(frozen=True)
class BuildFolders:
    """Where the build side keeps things below the data folder."""

    data_dir: Path

    def workspace(self, operation_id: UUID) -> Path:
        """All of an operation's build: `tree/` is the checkout, `state/` the shim's files."""
        return self.data_dir / "workspaces" / str(operation_id)

    def tree(self, operation_id: UUID) -> Path:
        return self.workspace(operation_id) / "tree"

    def state(self, operation_id: UUID, step: str) -> Path:
        return self.workspace(operation_id) / "state" / step

    def log(self, operation_id: UUID, step: str) -> Path:
        """The log of a step; it outlives the workspace."""
        return self.data_dir / "logs" / "operations" / str(operation_id) / f"{step}.log"

    def inside(self, operation_id: UUID, *parts: str) -> Path:
        """A path below the tree that the delivery spec names; leaving the tree is a fault of the spec."""
        root = self.tree(operation_id).resolve()
        path = root.joinpath(*parts).resolve()
        if not path.is_relative_to(root):
            raise TerminalError(
                f"delivery.yaml names {'/'.join(parts)!r}, which is outside of the repository",
                code=ErrorCode.SPEC_INVALID,
            )
        return path


class WorkspaceActivities:
    """Open and close workspaces. `queue` is polled by exactly the workers that see this data folder."""

    def __init__(self, folders: BuildFolders, queue: str) -> None:
        self._folders = folders
        self._queue = queue

    @implements(OPEN_WORKSPACE)
    @reported
    async def open(self, request: OpenWorkspace) -> Workspace:
        tree = self._folders.tree(request.operation_id)
        await asyncio.to_thread(tree.mkdir, parents=True, exist_ok=True)
        return Workspace(operation_id=request.operation_id, queue=self._queue)

    @implements(CLOSE_WORKSPACE)
    @reported
    async def close(self, request: CloseWorkspace) -> Nothing:
        folder = self._folders.workspace(request.operation_id)
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        return Nothing()
