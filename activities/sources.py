"""Source: a commit comes into the workspace, and its delivery spec is read."""

import asyncio
from pathlib import Path

from activities.failures import reported
from activities.heartbeats import beating
from activities.secrets import ProjectSecrets
from activities.slots import BuildSlots
from activities.workspaces import BuildFolders
from contracts.builds import FETCH_SOURCE, FetchedSource, FetchSource
from contracts.stubs import implements
from domain.delivery import DeliverySpec
from domain.delivery_file import MAX_SPEC_BYTES, SPEC_FILES, spec_from_files
from domain.errors import ErrorCode, TerminalError
from domain.foreign_text import decoded
from drivers.sources.base import GitCredentials, Source, SourceRequest
from runtime.limited import CostLimitError, CostLimits, LimitedProcesses

SPEC_LIMITS = CostLimits(cpu_s=2, wall_s=20, memory_mb=256)


class SourceActivities:
    """Drives a source driver."""

    def __init__(
        self,
        source: Source,
        folders: BuildFolders,
        secrets: ProjectSecrets,
        limited: LimitedProcesses,
        slots: BuildSlots,
    ) -> None:
        self._source = source
        self._slots = slots
        self._secrets = secrets
        self._folders = folders
        self._limited = limited

    @implements(FETCH_SOURCE)
    @reported
    async def fetch(self, request: FetchSource) -> FetchedSource:
        tree = self._folders.tree(request.operation_id)
        credentials = await self._secrets.of_source(request.project_id) if request.project_id else GitCredentials()
        wanted = SourceRequest(request.repository_url, request.git_branch, request.git_commit_hash, credentials)
        organization = self._folders.organization(request.operation_id)
        async with beating(), self._slots.working(request.operation_id, organization):
            fetched = await self._source.fetch(wanted, tree)
        texts = await asyncio.to_thread(read_spec_files, tree)
        await asyncio.to_thread(self._folders.note_commit_time, request.operation_id, fetched.epoch_s)
        log = self._folders.log(request.operation_id, "source")
        await asyncio.to_thread(_write_log, log, f"{request.repository_url} {fetched.branch} {fetched.commit}\n")
        return FetchedSource(
            commit=fetched.commit,
            branch=fetched.branch,
            size_bytes=fetched.size_bytes,
            spec=await read_spec(self._limited, texts),
        )


async def read_spec(limited: LimitedProcesses, texts: dict[str, str | None]) -> DeliverySpec:
    """The spec in a repository's files, read where a stranger's file cannot take long.

    Raises:
        TerminalError: as `spec_from_files`, and SPEC_INVALID for files that take too much to read.
    """
    try:
        return await limited.call(spec_from_files, texts, limits=SPEC_LIMITS)
    except CostLimitError as error:
        name = next((name for name in SPEC_FILES if texts.get(name) is not None), SPEC_FILES[0])
        message = f"cannot be read: {error}; write it in a simpler way"
        fault = {"file": name, "line": 1, "column": 1, "key": "", "message": message}
        raise TerminalError(
            f"{name}:1:1: {message}",
            code=ErrorCode.SPEC_INVALID,
            details={"file": name, "faults": [fault], "fault_count": 1},
        ) from None


def read_spec_files(tree: Path) -> dict[str, str | None]:
    """The files that may hold a delivery spec, bounded; None for those that are not there. Links are not followed."""
    texts: dict[str, str | None] = {}
    for name in SPEC_FILES:
        path = tree / name
        if path.is_symlink() or not path.is_file():
            texts[name] = None
            continue
        with path.open("rb") as file:
            texts[name] = decoded(file.read(MAX_SPEC_BYTES + 1))
    return texts


def _write_log(log: Path, line: str) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(line, encoding="utf-8")
