"""The release command: run once for each deployment, before the instances of its release start.

The target keeps how it ended, so that an attempt after a worker's death finds its end, or waits for it: nothing is run
twice unless the process itself was killed from outside.
"""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from uuid import UUID

from temporalio import activity

from activities.failures import not_found, translate_errors
from activities.heartbeats import heartbeating
from activities.instance_room import InstanceRoom
from activities.instances import read_release, refuse_if_ended
from activities.records import refuse_if_over
from activities.recovery import command_id, instance_spec
from activities.secrets import ProjectSecrets
from activities.workspaces import BuildFolders
from contracts.payload import bounded
from contracts.rollouts import RUN_RELEASE_COMMAND, ReleaseCommandOutcome, RunReleaseCommand
from contracts.stubs import implements
from domain.errors import ConflictError, DependencyError, ErrorCode, TerminalError
from domain.masking import masked
from drivers.shim.log import tail
from drivers.targets.base import MAX_RUNS, CommandStatus, InstanceSpec, Target
from storage.engine import Sessions, transaction
from storage.repositories.releases import ReleaseRepository

LOG = "release"
LOOK_EVERY_S = 0.1
MAX_TAIL = 3000
KEPT = 10
REASONS: Mapping[str, str] = {
    "timeout": "took longer than its timeout (release.timeout in delivery.yaml) and was ended",
    "memory_limit": "used more memory than it may (service.memory_mb) and was ended",
    "process_limit": "had more processes and threads than it may (service.processes) and was ended",
    "disk_limit": "took more of the disk than it may (service.disk_mb) and was ended",
    **{
        f"{what}_quota": f"was ended since all that its organization runs took too {much} together, and it the most"
        for what, much in (
            ("memory", "much memory"),
            ("disk", "much of the disk"),
            ("processes", "many processes"),
            ("files", "many open files"),
        )
    },
}


class MaskedLog:
    """A copy of an output without the values of secrets, written line by line from its beginning.

    Two attempts may write it at once, the older one in a worker that was frozen: both write the same to the same place.
    """

    def __init__(self, path: Path, values: Collection[str], heading: str) -> None:
        self._path = path
        self._values = values
        self._at = 0
        self._rest = heading.encode() + b"\n"

    def write(self, data: bytes, *, last: bool = False) -> None:
        """More of it; what is no whole line yet waits for its end, so that no value is cut in two."""
        self._rest += data
        end = len(self._rest) if last else self._rest.rfind(b"\n") + 1
        lines, self._rest = self._rest[:end], self._rest[end:]
        if lines:
            text = masked(lines.decode(errors="replace"), self._values).encode()
            self._put(text)

    def _put(self, data: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.touch(mode=0o600)
        with self._path.open("r+b") as file:
            file.seek(self._at)
            file.write(data)
        self._at += len(data)


class ReleaseCommandActivities:
    """Drives a target's commands."""

    def __init__(
        self,
        *,
        sessions: Sessions,
        secrets: ProjectSecrets,
        target: Target,
        folders: BuildFolders,
        room: InstanceRoom,
    ) -> None:
        self._room = room
        self._sessions = sessions
        self._secrets = secrets
        self._target = target
        self._folders = folders

    @implements(RUN_RELEASE_COMMAND)
    @translate_errors
    async def run(self, request: RunReleaseCommand) -> ReleaseCommandOutcome:
        name = command_id(request.release_id)
        async with heartbeating():
            try:
                await refuse_if_over(self._sessions)
                spec = await self._begin(request, name)
                path = self._folders.log(request.operation_id, LOG)
                log = MaskedLog(path, spec.secrets.values(), masked(f"$ {request.command}", spec.secrets.values()))
                status = await self._follow(name, log)
            except asyncio.CancelledError:
                if not _goes_on():
                    await self._target.end_command(name)
                raise
            failed = await asyncio.to_thread(_failure, status, path)
            if failed:
                raise failed  # the activity that stops the release removes what is left
            await self._target.end_command(name, keep_end=True)
            await self._forget_older(request.release_id)
        return ReleaseCommandOutcome(runs=status.runs)

    async def _begin(self, request: RunReleaseCommand, name: str) -> InstanceSpec:
        """Checks right before the start that the release was not stopped meanwhile."""
        known = await read_release(self._sessions, request.release_id)
        async with transaction(self._sessions) as session:
            # It takes the place of the first instance, which starts when it has ended.
            await self._room.check(session, known.release, 1)
            secrets = await self._secrets.of_release(session, known.release)
        spec = instance_spec(known.release, known.service, 0, secrets, known.project_id)
        spec = replace(spec, instance_id=name, command=request.command, after="")

        async def check() -> None:
            await refuse_if_ended(self._sessions, request.release_id)

        try:
            status = await self._target.run_command(spec, request.timeout, check=check)
        except ConflictError:
            await self._target.end_command(name)
            raise
        if not status.running and not status.ended:
            raise _killed(status)
        return spec

    async def _forget_older(self, release_id: UUID) -> None:
        """What the commands of long-stopped releases left: a few of them are enough to go back to."""
        async with transaction(self._sessions) as session:
            older = await ReleaseRepository(session).stopped_before(release_id, but=KEPT)
        for each in older:
            await self._target.end_command(command_id(each))

    async def _follow(self, name: str, log: MaskedLog) -> CommandStatus:
        """Copies its output until it has ended."""
        offset = 0
        await asyncio.to_thread(log.write, b"")  # its heading
        while True:
            status = await self._target.command(name)
            while piece := await self._target.command_output(name, offset):
                offset += len(piece)
                await asyncio.to_thread(log.write, piece)
            if not status.running:
                break
            await asyncio.sleep(LOOK_EVERY_S)
        if offset:  # else an attempt before this one has copied it all
            await asyncio.to_thread(log.write, b"", last=True)
        if not status.ended:
            raise _killed(status)
        return status


def _goes_on() -> bool:
    """Whether only this worker is ending: the next attempt, in another one, waits for the same process."""
    details = activity.cancellation_details()
    return details is not None and not details.cancel_requested and (details.worker_shutdown or details.timed_out)


def _killed(status: CommandStatus) -> TerminalError | DependencyError:
    if status.runs < MAX_RUNS:
        return DependencyError("The release command was ended from outside; it is run again.")
    return TerminalError(
        f"the release command was begun {status.runs} times, and each time its process was killed from outside before "
        "it ended; look at what kills it",
        code=ErrorCode.RELEASE_COMMAND_FAILED,
        details={"runs": status.runs},
    )


def _failure(status: CommandStatus, log: Path) -> TerminalError | None:
    """The error of a command that did not end well, with the end of its output."""
    if status.reason == "exited" and status.exit_code == 0:
        return None
    if status.reason == "disk_full":
        return TerminalError(
            "the release command could not write: the disk of the data folder is full", code=ErrorCode.DISK_FULL
        )
    words = tail(log, MAX_TAIL)
    code = f"ended with exit code {status.exit_code}{not_found(status.exit_code, status.search_path)}"
    how = REASONS.get(status.reason or "", code)
    return TerminalError(
        bounded(
            f"the release command {how}; nothing of the new version was started; "
            f"its last output: {words.strip() or '(none)'}",
            2000,
        ),
        code=ErrorCode.RELEASE_COMMAND_FAILED,
        details={"exit_code": status.exit_code, "reason": status.reason, "log_tail": words},
    )
