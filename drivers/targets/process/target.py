"""Runs instances as processes of this machine. Keeps no state in memory: any engine process can take over."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from domain.ceilings import DEFAULT_CEILING, Ceiling
from domain.destinations import Destination
from domain.errors import ErrorCode, TerminalError
from domain.shares import Use
from domain.wire import PIPE_PORT
from drivers import isolation, place
from drivers.artifacts.base import ArtifactStore
from drivers.bridge.network import Network
from drivers.clean_env import CodePath, search_path
from drivers.egress import inside
from drivers.egress.sandboxes import Sandbox, Sandboxes
from drivers.folders import finish_in_thread, remove_tree
from drivers.shim import client, proc
from drivers.shim.faults import disk_full_reported
from drivers.shim.log import tail
from drivers.shim.spec import ShimSpec
from drivers.targets.base import MAX_RUNS, Check, CommandStatus, InstancePhase, InstanceSpec, InstanceStatus, no_check
from drivers.targets.process.changes import give_changes, keep_changes
from drivers.targets.process.command import once, shim_spec
from drivers.targets.process.doors import Doors
from drivers.targets.process.folder import InstanceFolder, InstanceRecord
from drivers.targets.process.kept_logs import KeptLogs
from drivers.targets.process.listeners import ListeningSockets, OwnNetworks, SocketsOfTheMoment
from drivers.targets.process.locks import instance_turn, ports_turn
from drivers.targets.process.ports import ADDRESS, DEFAULT_PORTS, choose_port, is_free
from runtime.files import write_whole

# Seconds between the two checks of a port that seems to be taken.
_SECOND_LOOK_S = 0.05
_PIECE_BYTES = 256 * 1024
_MIB = 1024 * 1024
NO_PORT = 0
LIMITS = frozenset(
    {"memory_limit", "process_limit", "disk_limit"}
    | {"memory_quota", "disk_quota", "processes_quota", "files_quota"}  # of its organization
)


class ProcessTarget:
    """Each instance has its folder below `root`, its own copy of the artifact and its own port.

    Args:
        root: folder for instances only.
        artifacts: the store of the releases' artifacts.
        trusted_code: run without isolation.
        hidden: folders and files that isolated instances must not see; `root` is always hidden.
        sockets: folder of the isolated instances' unix sockets; None: in `root`, if its path is short enough.
        ways: egress of isolated instances; None: no egress.
        ports: the ports to assign.
        ceiling: maximum limits of one instance.
        use: limits of one organization's instances together; None: the sum of their own limits.
        path: folders to search for programs; None: the usual ones.
        kept_logs: folder for the log ends of stopped instances; None: they are removed with the instances.
    """

    def __init__(
        self,
        root: Path,
        artifacts: ArtifactStore,
        *,
        trusted_code: bool,
        hidden: tuple[Path, ...] = (),
        sockets: Path | None = None,
        ways: Sandboxes | None = None,
        ports: range = DEFAULT_PORTS,
        ceiling: Ceiling = DEFAULT_CEILING,
        use: Use | None = None,
        path: CodePath | None = None,
        kept_logs: Path | None = None,
    ) -> None:
        self._logs = KeptLogs(kept_logs)
        self._use = use
        self._path = path or CodePath.of("", trusted=trusted_code)
        self._ceiling = ceiling
        self._root = root
        self._artifacts = artifacts
        self._isolated = not trusted_code
        self._hidden = (*hidden, root)
        self._doors = Doors(sockets or root / ".sockets")
        self._networks = OwnNetworks()
        self._heard: dict[str, int] = {}  # the listening process
        self._ways = ways
        self._ports = ports
        self._sockets = SocketsOfTheMoment()

    async def start(self, spec: InstanceSpec, *, check: Check = no_check) -> InstanceStatus:
        self._check_isolation()
        folder = InstanceFolder.of(self._root, spec.instance_id)
        with disk_full_reported(self._root):
            async with instance_turn(self._root, spec.instance_id):
                if not client.status(folder.state).alive:
                    await self._start(folder, spec, check)
        return await self.inspect(spec.instance_id)

    async def relocate(self, spec: InstanceSpec, *, port: int, check: Check = no_check) -> InstanceStatus:
        self._check_isolation()
        folder = InstanceFolder.of(self._root, spec.instance_id)
        with disk_full_reported(self._root):
            async with instance_turn(self._root, spec.instance_id):
                known = folder.record()
                if known is None or known.port == port or not client.status(folder.state).alive:
                    await client.stop(folder.state)
                    await self._start(folder, spec, check, elsewhere=True)
        return await self.inspect(spec.instance_id)

    def _check_isolation(self) -> None:
        if not self._isolated:
            return
        isolation.check()
        self._doors.make()

    async def inspect(self, instance_id: str) -> InstanceStatus:
        folder = InstanceFolder.of(self._root, instance_id)
        status = await asyncio.to_thread(self._inspect_now, folder)
        if not status.port_taken:
            return status
        # One of its own processes that ended between reading sockets and tree looks like another process.
        await asyncio.sleep(_SECOND_LOOK_S)
        return await asyncio.to_thread(self._inspect_now, folder)

    async def stop(self, instance_id: str) -> None:
        folder = InstanceFolder.of(self._root, instance_id)
        async with instance_turn(self._root, instance_id):
            await client.stop(folder.state)
            if (known := folder.record()) and known.has_door:
                self._doors.remove(known.address)
            self._heard.pop(instance_id, None)
            self._networks.forget(instance_id)
            if self._ways:
                await self._ways.close(instance_id)
            await finish_in_thread(self._logs.keep, folder)
            await finish_in_thread(folder.remove)

    async def pause(self) -> int:
        """End all instances but keep their folders and ports, so that `start` restores them; returns their number."""
        commands = [InstanceFolder(path) for path in sorted(self._commands.glob("*/"))]
        folders = [*await asyncio.to_thread(self._folders), *commands]
        alive = [folder for folder in folders if client.status(folder.state).alive]
        await asyncio.gather(*(client.stop(folder.state) for folder in alive))
        return len(alive)

    async def list_instances(self) -> Sequence[InstanceStatus]:
        return await asyncio.to_thread(self._inspect_all)

    async def log_tail(self, instance_id: str, max_bytes: int = 4096) -> str:
        folder = InstanceFolder.of(self._root, instance_id)
        return await asyncio.to_thread(_log_tail, folder, max_bytes)

    def _give_changes(self, folder: InstanceFolder, spec: InstanceSpec) -> None:
        """Once per instance: files that the instance itself writes later stay."""
        mark = folder.path / "changes.given"
        if spec.after and not mark.exists():
            give_changes(InstanceFolder.of(self._commands, spec.after).app, folder.app)
            mark.touch()

    @property
    def _commands(self) -> Path:
        """Commands that run once: like instances, but never restarted."""
        return self._root / ".once"

    async def run_command(self, spec: InstanceSpec, timeout_s: float, *, check: Check = no_check) -> CommandStatus:
        self._check_isolation()
        folder = InstanceFolder.of(self._commands, spec.instance_id)
        with disk_full_reported(self._root):
            async with instance_turn(self._root, spec.instance_id):
                seen = _command(folder)
                if not seen.running and not seen.ended and seen.runs < MAX_RUNS:
                    folder.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)

                    async def begin() -> None:
                        await check()
                        write_whole(_runs(folder), str(seen.runs + 1), sync=False)

                    await self._start(folder, spec, begin, timeout_s=timeout_s)
        return _command(folder)

    async def command(self, command_id: str) -> CommandStatus:
        return await asyncio.to_thread(_command, InstanceFolder.of(self._commands, command_id))

    async def command_output(self, command_id: str, offset: int) -> bytes:
        return await asyncio.to_thread(_piece, InstanceFolder.of(self._commands, command_id).log, offset)

    async def end_command(self, command_id: str, *, keep_end: bool = False) -> None:
        folder = InstanceFolder.of(self._commands, command_id)
        async with instance_turn(self._root, command_id):
            await client.stop(folder.state)
            if self._ways:
                await self._ways.close(command_id)
            if keep_end:
                await finish_in_thread(_strip, folder)
                return
            await finish_in_thread(folder.remove)
            _runs(folder).unlink(missing_ok=True)

    async def _start(
        self,
        folder: InstanceFolder,
        spec: InstanceSpec,
        check: Check,
        *,
        elsewhere: bool = False,
        timeout_s: float | None = None,
    ) -> None:
        """`timeout_s`: it is a command that runs once."""
        await client.end_leftovers(folder.state)
        if folder.record() is None:  # never started here, or an interrupted stop
            await finish_in_thread(folder.remove)
            if timeout_s is None:
                await finish_in_thread(self._logs.give_back, folder, spec.release_id)
        known = folder.record()
        at = known.place if known else await self._artifacts.place(spec.artifact_digest)
        record = await self._reserve(folder, spec, at, elsewhere=elsewhere)
        await self._artifacts.unpack(spec.artifact_digest, folder.app)
        await finish_in_thread(self._give_changes, folder, spec)
        await finish_in_thread(folder.prepare)
        where = await self._place(folder, spec, at, serves=timeout_s is None)
        record = replace(record, search_path=search_path(where, self._path.folders))
        folder.write(record)
        shim = self._shared(shim_spec(folder, spec, record, where, self._ceiling), spec.organization)
        await check()
        if timeout_s is not None:
            await finish_in_thread(_note_begin, folder)
        await client.start(folder.state, shim if timeout_s is None else once(shim, timeout_s))

    def _shared(self, shim: ShimSpec, organization: str) -> ShimSpec:
        """With the usage that its organization's instances share, and their common limits."""
        if self._use is None or not organization:
            return shim
        folder = self._root / ".pools" / hashlib.sha256(organization.encode()).hexdigest()[:32]
        return shim._replace(
            pool=str(folder.absolute()),
            pool_limits={
                "memory": self._use.memory_mb * _MIB,
                "disk": self._use.disk_mb * _MIB,
                "processes": self._use.processes,
                "files": self._use.files,
            },
        )

    async def _reserve(self, folder: InstanceFolder, spec: InstanceSpec, at: str, *, elsewhere: bool) -> InstanceRecord:
        """The port of an instance stays the same for its life, unless another process has taken it meanwhile.

        In networks of their own, all instances have the same port.
        """
        if self._isolated:
            record = InstanceRecord(
                *(spec.instance_id, spec.release_id, spec.artifact_digest, PIPE_PORT if spec.listens else NO_PORT),
                isolated=True,
                place=at,
                address=self._doors.of(spec.instance_id) if spec.listens else ADDRESS,
            )
            folder.write(record)
            return record
        async with ports_turn(self._root):
            known = folder.record()
            port = self._port(known, elsewhere=elsewhere) if spec.listens else NO_PORT
            record = InstanceRecord(
                spec.instance_id, spec.release_id, spec.artifact_digest, port, isolated=False, place=at
            )
            folder.write(record)
        return record

    def _port(self, known: InstanceRecord | None, *, elsewhere: bool) -> int:
        usable = known is not None and known.port != NO_PORT and not known.has_door
        keep = known is not None and usable and not elsewhere and is_free(known.port)
        return known.port if known and keep else choose_port(self._ports, self._reserved())

    async def _place(self, folder: InstanceFolder, spec: InstanceSpec, at: str, *, serves: bool) -> place.Place:
        """`serves`: not a command, which writes into its tree and receives no connections."""
        folders = place.Folders(folder.app, folder.home, folder.tmp, at, read_only=serves)
        if not self._isolated:
            return place.trusted(folders)
        network = await self._network(folder, spec, PIPE_PORT if serves and spec.listens else None)
        return place.isolated(folders, hidden=self._hidden, readable=self._path.shown, network=network)

    async def _network(self, folder: InstanceFolder, spec: InstanceSpec, serves: int | None) -> Network:
        """Raises `TerminalError`: SPEC_INVALID, the spec lists a destination that the operator does not allow."""
        if self._ways is None:
            return Network(serves, spec.forwards)
        listed = tuple(map(Destination.parse, spec.egress))
        door = await self._ways.open(
            Sandbox(spec.instance_id, spec.organization, spec.project, owner=folder.path, listed=listed)
        )
        refusals = await asyncio.gather(*(self._ways.refusal(spec.instance_id, each) for each in listed))
        if words := "; ".join(filter(None, refusals)):
            raise TerminalError(f"service.egress in delivery.yaml: {words}", code=ErrorCode.SPEC_INVALID)
        made = inside.network(door, listed, serves=serves)
        return replace(made, forwards=(*made.forwards, *spec.forwards))

    def _reserved(self) -> set[int]:
        found = (folder.record() for folder in self._folders())
        return {record.port for record in found if record and not record.has_door}

    def _folders(self) -> list[InstanceFolder]:
        paths = sorted(self._root.glob("[!.]*/")) if self._root.is_dir() else []
        return [InstanceFolder(path) for path in paths]

    def _inspect_now(self, folder: InstanceFolder) -> InstanceStatus:
        """An instance with its own network is inspected until it listens."""
        record = folder.record()
        if record is None or not record.has_door:
            return _inspect(folder, self._sockets.get())
        status = self._inspect_door(folder, record)
        shim = client.status(folder.state).shim_pid
        if status.listening or status.pid is None or shim is None:
            return status
        own = self._networks.look(record.instance_id, shim)
        if listening := own.listening(record.port):
            self._heard[record.instance_id] = status.pid
            self._networks.forget(record.instance_id)
        return replace(
            status,
            listening=listening,
            listens_elsewhere=own.elsewhere(record.port),
            unreachable_at=own.unreachable_at(record.port),
        )

    def _inspect_door(self, folder: InstanceFolder, record: InstanceRecord) -> InstanceStatus:
        now = client.status(folder.state)
        return replace(
            _seen(record, now),
            listening=now.child_pid is not None and self._heard.get(record.instance_id) == now.child_pid,
            port_taken=now.shim_pid is not None and not self._doors.exists(record.address),
        )

    def _inspect_all(self) -> list[InstanceStatus]:
        sockets = ListeningSockets()
        found = (self._inspect_one(folder, sockets) for folder in self._folders())
        return [status for status in found if status.phase is not InstancePhase.ABSENT]

    def _inspect_one(self, folder: InstanceFolder, sockets: ListeningSockets) -> InstanceStatus:
        record = folder.record()
        return self._inspect_door(folder, record) if record and record.has_door else _inspect(folder, sockets)


def _command(folder: InstanceFolder) -> CommandStatus:
    now = client.status(folder.state)
    try:
        runs = int(_runs(folder).read_text())
    except (FileNotFoundError, ValueError):
        runs = 0
    if now.exit is None or now.exit.reason == "stopped":  # killed with its shim, or from outside
        return CommandStatus(running=now.alive, runs=runs)
    record = folder.record()
    return CommandStatus(
        running=False,
        runs=runs,
        exit_code=now.exit.code,
        reason=now.exit.reason,
        search_path=record.search_path if record else "",
    )


def _runs(folder: InstanceFolder) -> Path:
    """Number of starts; stored beside its folder, which each start clears."""
    return folder.path.with_name(folder.path.name + ".runs")


def _piece(log: Path, offset: int) -> bytes:
    try:
        with log.open("rb") as file:
            file.seek(offset)
            return file.read(_PIECE_BYTES)
    except FileNotFoundError:
        return b""


def _begin_mark(folder: InstanceFolder) -> Path:
    return folder.path / "begun"


def _note_begin(folder: InstanceFolder) -> None:
    """By the clock of the file system. A second run continues in the folder of the first, whose moment is kept."""
    mark = _begin_mark(folder)
    if not mark.exists():
        mark.touch()


def _strip(folder: InstanceFolder) -> None:
    place.forget(folder.tmp)
    for path in (folder.built_home, folder.home, folder.tmp, folder.log):
        remove_tree(path)
    if _begin_mark(folder).exists():
        keep_changes(folder.app, _begin_mark(folder).stat().st_mtime_ns)


def _inspect(folder: InstanceFolder, sockets: ListeningSockets) -> InstanceStatus:
    record = folder.record()
    if record is None:
        return InstanceStatus(instance_id=folder.path.name, release_id="", phase=InstancePhase.ABSENT)
    now = client.status(folder.state)
    # Below its shim, which adopts orphans: a daemon of the service is one of its own processes.
    own = sockets.held_by(client.tree(now.shim_pid)) if now.shim_pid else {}
    held = set(own.values())
    return replace(
        _seen(record, now),
        listening=any(each.port == record.port and each.reachable for each in held),
        listens_elsewhere=tuple(sorted({each.port for each in held if each.port != record.port})),
        unreachable_at=tuple(sorted({e.address for e in held if e.port == record.port and not e.reachable})),
        port_taken=not sockets.reached_at(record.port) <= own.keys(),
    )


def _seen(record: InstanceRecord, now: client.ShimStatus) -> InstanceStatus:
    """Everything but its sockets."""
    return InstanceStatus(
        instance_id=record.instance_id,
        release_id=record.release_id,
        phase=_phase(now),
        address=record.address,
        port=record.port,
        pid=now.child_pid,
        restarts=now.restarts,
        exit_code=now.exit.code if now.exit else now.last_code,
        running_s=proc.age_s(now.child_pid) if now.child_pid else None,
        search_path=record.search_path,
        ended_by=now.last_reason if now.last_reason in LIMITS else None,
    )


def _phase(now: client.ShimStatus) -> InstancePhase:
    if not now.alive:
        return InstancePhase.STOPPED
    # A shim answers before its process has started: nothing has died yet.
    has_died = now.last_code is not None or now.last_reason is not None
    return InstancePhase.BACKOFF if now.child_pid is None and has_died else InstancePhase.RUNNING


def _log_tail(folder: InstanceFolder, max_bytes: int) -> str:
    recent = tail(folder.log, max_bytes)
    missing = max_bytes - len(recent.encode())
    older = tail(folder.log.with_name(folder.log.name + ".1"), missing) if missing > 0 else ""
    return older + recent
