"""Source: a commit comes into the workspace, and its delivery spec is read."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar
from uuid import UUID

from activities.build_slots import BuildSlots
from activities.failures import translate_errors
from activities.heartbeats import heartbeating
from activities.secrets import ProjectSecrets
from activities.test_reports import TestReports
from activities.workspaces import BuildFolders
from contracts.builds import FETCH_SOURCE, FetchedSource, FetchSource
from contracts.stubs import implements
from domain.delivery_spec import DeliverySpec
from domain.delivery_spec_loader import (
    DELIVERY_FILES,
    MAX_SPEC_BYTES,
    PROCFILE,
    SPEC_FILES,
    service_folder,
    spec_from_files,
)
from domain.errors import ErrorCode, TerminalError
from domain.foreign_text import decoded
from domain.procfile import told
from drivers.sources.base import GitCredentials, Source, SourceRequest
from runtime.limited import CostLimitError, CostLimits, LimitedProcesses
from storage.engine import Sessions, transaction
from storage.repositories.build_records import BuildRecordRepository

SPEC_LIMITS = CostLimits(cpu_s=2, wall_s=20, memory_mb=256)

T = TypeVar("T")


@dataclass(frozen=True)
class SpecFiles:
    """What a project's folder of a repository says: texts by name, the folder of its service, and of its Procfile."""

    texts: Mapping[str, str | None]
    service: str
    procfile: str


class SourceActivities:
    """Drives a source driver. `sessions`: where builds are recorded; None: nowhere."""

    def __init__(
        self,
        source: Source,
        folders: BuildFolders,
        secrets: ProjectSecrets,
        limited: LimitedProcesses,
        slots: BuildSlots,
        *,
        reports: TestReports,
        sessions: Sessions | None = None,
    ) -> None:
        self._sessions = sessions
        self._source = source
        self._slots = slots
        self._reports = reports
        self._secrets = secrets
        self._folders = folders
        self._limited = limited

    @implements(FETCH_SOURCE)
    @translate_errors
    async def fetch(self, request: FetchSource) -> FetchedSource:
        tree = self._folders.tree(request.operation_id)
        credentials = await self._secrets.of_source(request.project_id) if request.project_id else GitCredentials()
        wanted = SourceRequest(request.repository_url, request.git_branch, request.git_commit_hash, credentials)
        organization = self._folders.organization(request.operation_id)
        async with heartbeating(), self._slots.working(request.operation_id, organization):
            fetched = await self._source.fetch(wanted, tree)
        await asyncio.to_thread(self._folders.note_commit_time, request.operation_id, fetched.epoch_s)
        log = self._folders.log(request.operation_id, "source")
        line = f"{request.repository_url} {fetched.branch} {fetched.commit}\n"
        await asyncio.to_thread(_write_log, log, line)
        files = await self._spec_files(request, fetched.commit)
        spec = await read_spec(self._limited, files.texts, request.source_path, files.procfile)
        await self._reports.mark(request.operation_id, files.service, spec.test)
        notice = _notice(spec)
        if notice:
            await asyncio.to_thread(_write_log, log, f"{line}{notice}\n")
        await self._begin_build(request.operation_id, fetched.commit, fetched.branch)
        return FetchedSource(
            commit=fetched.commit,
            branch=fetched.branch,
            size_bytes=fetched.size_bytes,
            spec=spec,
            folder=files.service,
            notice=notice,
        )

    async def _begin_build(self, operation_id: UUID, commit: str, branch: str) -> None:
        """From here on it can be looked at, and its logs followed, under an id of its own."""
        if self._sessions is not None:
            async with transaction(self._sessions) as session:
                await BuildRecordRepository(session).begin(operation_id, commit=commit, branch=branch)

    async def _spec_files(self, request: FetchSource, commit: str) -> SpecFiles:
        """Of the project's folder; a Procfile beside the service that `source.path` names goes before that one.

        Raises:
            TerminalError: SOURCE_PATH_NOT_FOUND, one of the folders is not in the commit; SPEC_INVALID.
        """
        project = request.source_path
        home = await asyncio.to_thread(
            self._there, request.operation_id, project, f"the project's source_path {project!r}", commit
        )
        texts = await asyncio.to_thread(read_spec_files, home)
        path = await self._service_path(texts, project)
        service = str(PurePosixPath(project, path))
        if service == project:
            return SpecFiles(texts, service, project)
        words = f"source.path {path!r} of delivery.yaml"
        beside = await asyncio.to_thread(self._there, request.operation_id, service, words, commit)
        text = await asyncio.to_thread(_read_text, beside / PROCFILE)
        return (
            SpecFiles(texts, service, project)
            if text is None
            else SpecFiles({**texts, PROCFILE: text}, service, service)
        )

    async def _service_path(self, texts: Mapping[str, str | None], project: str) -> str:
        if all(texts.get(name) is None for name in DELIVERY_FILES):
            return "."
        return await _limited(self._limited, service_folder, texts, project)

    def _there(self, operation_id: UUID, folder: str, words: str, commit: str) -> Path:
        path = self._folders.inside(operation_id, folder)
        if not path.is_dir():
            raise TerminalError(
                f"{words} is not a folder of the repository at commit {commit[:12]}; correct it, or build a commit "
                "that has the folder",
                code=ErrorCode.SOURCE_PATH_NOT_FOUND,
                details={"folder": folder, "git_commit_hash": commit},
            )
        return path


def _notice(spec: DeliverySpec) -> str | None:
    """The message that lists the process types beside the service."""
    vary = any(each.processes for each in spec.environments.values())
    return told({name: each.count for name, each in spec.processes.items()}, vary=vary)


async def read_spec(
    limited: LimitedProcesses, texts: Mapping[str, str | None], folder: str = ".", procfile_folder: str | None = None
) -> DeliverySpec:
    """The spec in a repository's files, read within limits because the files are untrusted.

    Raises:
        TerminalError: as `spec_from_files`, and SPEC_INVALID for files that take too much to read.
    """
    return await _limited(limited, spec_from_files, texts, folder, procfile_folder)


async def _limited(
    limited: LimitedProcesses, read: Callable[..., T], texts: Mapping[str, str | None], folder: str, *more: str | None
) -> T:
    try:
        return await limited.call(read, texts, folder, *more, limits=SPEC_LIMITS)
    except CostLimitError as error:
        name = next((name for name in SPEC_FILES if texts.get(name) is not None), SPEC_FILES[0])
        name = str(PurePosixPath(folder, name))
        message = f"cannot be read: {error}; write it in a simpler way"
        fault = {"file": name, "line": 1, "column": 1, "key": "", "message": message}
        raise TerminalError(
            f"{name}:1:1: {message}",
            code=ErrorCode.SPEC_INVALID,
            details={"file": name, "faults": [fault], "fault_count": 1},
        ) from None


def read_spec_files(tree: Path) -> dict[str, str | None]:
    """The files that may hold a delivery spec; None for those that are not there."""
    return {name: _read_text(tree / name) for name in SPEC_FILES}


def _read_text(path: Path) -> str | None:
    """Bounded; None when it is not there. Links are not followed."""
    if path.is_symlink() or not path.is_file():
        return None
    with path.open("rb") as file:
        return decoded(file.read(MAX_SPEC_BYTES + 1))


def _write_log(log: Path, line: str) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(line, encoding="utf-8")
