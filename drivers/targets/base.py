"""Target drivers run instances of a service."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from drivers.bridge.network import Forward


@dataclass(frozen=True)
class InstanceSpec:
    """The definition of one instance.

    Attributes:
        instance_id: stable id and idempotency key (`{release_id}-{index}`): starting it twice starts it once.
        release_id: the release it belongs to.
        artifact_digest: of the artifact to run, unpacked by the driver from its artifact store.
        command: shell line; if it listens, it must listen on 127.0.0.1:$PORT.
        env: the service's environment; PORT, PATH, HOME, TMPDIR are always set by the driver.
        secrets: further variables, never written to disk or command lines; they override `env`. memory_mb, processes,
        disk_mb: limits of the whole tree, beyond which it is killed and restarted (MiB, shared pages counted once;
            processes and threads; MiB of its folders). The target's own limits may be lower; None: use those.
        stop_timeout_s: seconds between SIGTERM and SIGKILL.
        after: id of a command whose files are copied into the instance's folder. One that never ran is fine.
            organization, project: the owner, for egress.
        egress: additional host:port destinations that it may connect to, if it has a network of its own.
        forwards: ways out of its own network; ignored if it has none.
        listens: False: it has no port, and PORT is not set.
    """

    instance_id: str
    release_id: str
    artifact_digest: str
    command: str
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    memory_mb: int = 1024
    processes: int | None = None
    disk_mb: int | None = None
    stop_timeout_s: float = 5
    after: str = ""
    organization: str = ""
    project: str = ""
    egress: tuple[str, ...] = ()
    forwards: tuple[Forward, ...] = ()
    listens: bool = True


# A command that was killed from outside this often is given up.
MAX_RUNS = 5


class InstancePhase(StrEnum):
    """`backoff`: it died and waits for its restart; `stopped`: ended for good; `absent`: never started here."""

    RUNNING = "running"
    BACKOFF = "backoff"
    STOPPED = "stopped"
    ABSENT = "absent"


@dataclass(frozen=True)
class InstanceStatus:
    """The present state of an instance.

    Attributes:
        address, port: where it must listen (assigned by the engine; 0 if absent or not listening at all). With a
            network of its own, `address` is the path of its unix socket and `port` is the port inside.
        listening: a socket of the instance's own process tree listens on exactly that port. For an instance with its
            own network, a list only knows it if the instance was inspected since its process began.
        listens_elsewhere: other TCP ports that the tree listens on (for the message of INSTANCE_WRONG_PORT).
        unreachable_at: addresses where it listens on that port but that 127.0.0.1 does not reach.
        port_taken: a process outside of the instance listens on its port, so that requests may reach the wrong process.
            In a list it may be a transient state; `inspect` checks twice. With a network of its own: its unix socket is
            gone.
        restarts: number of restarts after a death.
        exit_code: of the last death (128+n for signal n); None if it never died.
        search_path: the PATH it was started with.
        running_s: age of its present process in seconds; None if it has none.
        ended_by: the limit that caused the last death (`memory_limit`, `memory_quota`, ...); None: it ended by itself,
            or never ended.
    """

    instance_id: str
    release_id: str
    phase: InstancePhase
    address: str = "127.0.0.1"
    port: int = 0
    pid: int | None = None
    listening: bool = False
    listens_elsewhere: tuple[int, ...] = ()
    unreachable_at: tuple[str, ...] = ()
    restarts: int = 0
    exit_code: int | None = None
    port_taken: bool = False
    running_s: float | None = None
    search_path: str = ""
    ended_by: str | None = None

    @property
    def gone(self) -> bool:
        """Its shim is gone, which the instance cannot cause itself: if only its process dies, the shim restarts it."""
        return self.phase in (InstancePhase.STOPPED, InstancePhase.ABSENT)


@dataclass(frozen=True)
class CommandStatus:
    """The present state of a command that runs once.

    Attributes:
        running: it runs now.
        runs: number of starts; more than one only after its process was killed from outside.
        exit_code: None while it runs, and if it was killed from outside.
        reason: why it ended: "exited", "timeout", "disk_full", or the exceeded limit.
        search_path: its PATH.
    """

    running: bool
    runs: int = 0
    exit_code: int | None = None
    reason: str | None = None
    search_path: str = ""

    @property
    def ended(self) -> bool:
        return self.exit_code is not None


Check = Callable[[], Awaitable[object]]
"""Called right before a start, after all slow preparation, while no other start or stop of the same id can happen.

If it raises, nothing is started. Every stop is recorded first, so a check that reads the record is enough: either it
sees the record, or the stop comes after the start. It does not need to lock the record.
"""


async def no_check() -> None:
    """Never refuses."""


class Target(Protocol):
    """All calls are idempotent, and independent of the process that made them.

    `start` raises `TerminalError` with ARTIFACT_UNAVAILABLE, NO_FREE_PORT, BUILD_ISOLATION_UNAVAILABLE or DISK_FULL.
    `start` of one that is gone keeps its port, or gets another one if the port is taken by now. `relocate` restarts the
    instance on another port, since the given one is taken; an instance that has a different port already stays. `stop`
    of an absent instance succeeds; it returns when the whole process tree is gone, and removes its folder.
    """

    async def start(self, spec: InstanceSpec, *, check: Check = no_check) -> InstanceStatus: ...

    async def relocate(self, spec: InstanceSpec, *, port: int, check: Check = no_check) -> InstanceStatus: ...

    async def inspect(self, instance_id: str) -> InstanceStatus: ...

    async def stop(self, instance_id: str) -> None: ...

    async def list_instances(self) -> Sequence[InstanceStatus]: ...

    async def log_tail(self, instance_id: str, max_bytes: int = 4096) -> str: ...

    async def run_command(self, spec: InstanceSpec, timeout_s: float, *, check: Check = no_check) -> CommandStatus:
        """Start a command that runs once, without a port and with the limits of an instance.

        It is not started again while it runs, after it has ended by itself, or after `MAX_RUNS` starts. Raises as
        `start`.
        """

    async def command(self, command_id: str) -> CommandStatus: ...

    async def command_output(self, command_id: str, offset: int) -> bytes:
        """A part of its output from an offset in bytes; empty: there is no more (now). Secrets are not masked."""

    async def end_command(self, command_id: str, *, keep_end: bool = False) -> None:
        """End it with its whole tree and remove its folder; an absent one is fine.

        `keep_end`: its result, and its files for the instances, are kept. Raises
        `TerminalError(RELEASE_COMMAND_FAILED)` if these files are too large (with `keep_end`).
        """
