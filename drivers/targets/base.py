"""Target drivers run instances of a service."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from drivers.bridge.network import Forward


@dataclass(frozen=True)
class InstanceSpec:
    """What one instance runs.

    Attributes:
        instance_id: stable id and idempotency key (`{release_id}-{index}`): starting it twice is starting it once.
        release_id: the release it belongs to.
        artifact_digest: what to run, unpacked by the driver from its artifact store.
        command: shell line; it must listen on 127.0.0.1:$PORT, if it listens at all.
        env: the service's environment; PORT, PATH, HOME, TMPDIR are set by the driver, whatever stands there.
        secrets: more of it, never written down and in no command line; these go before `env`.
        memory_mb, processes, disk_mb: what the whole tree may use before it is ended and restarted (MiB, shared pages
            counted once; processes and threads; MiB of its folders). The target's own limits may be lower; None: those.
        stop_timeout_s: seconds between SIGTERM and SIGKILL.
        after: id of a command; what it left in its folder is in the instance's, too. One that never ran is fine.
        organization, project: whose it is, for its way out.
        egress: host:port of what it may connect to besides, where it has a network of its own.
        forwards: ways out of a network of its own; of no use where it has none.
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


# A command that was ended from outside so often is given up.
MAX_RUNS = 5


class InstancePhase(StrEnum):
    """`backoff`: it died and waits to be restarted; `stopped`: ended for good; `absent`: never started here."""

    RUNNING = "running"
    BACKOFF = "backoff"
    STOPPED = "stopped"
    ABSENT = "absent"


@dataclass(frozen=True)
class InstanceStatus:
    """What is seen of an instance now.

    Attributes:
        address, port: where it must listen (assigned by the engine; 0 when absent, and for one that does not listen).
            With a network of its own it is reached by the unix socket whose path `address` is, and `port` is the one
            inside.
        listening: a socket of the instance's own process tree listens on exactly that port. In a list it is only known
            of instances that were inspected since their process began, if they have networks of their own.
        listens_elsewhere: other TCP ports the tree listens on (for the message of INSTANCE_WRONG_PORT).
        unreachable_at: addresses on which it listens on that port and which a connection to 127.0.0.1 does not reach.
        port_taken: a process that is none of the instance's listens on its port, so that what is sent there may reach a
            stranger. In a list it may be a moment's impression; `inspect` looks twice. With a network of its own: its
            unix socket is gone.
        restarts: how often it died and was started again.
        exit_code: of the last death, None if it never died; 128+n for signal n.
        search_path: the PATH it was started with.
        running_s: for how many seconds its present process has run; None when it has none.
        ended_by: the limit whose passing was the last death (`memory_limit`, `memory_quota`, ...); None: it
            ended by itself, or never did.
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
        """Nobody keeps it, which is not its own doing: what dies by itself is started again by its shim."""
        return self.phase in (InstancePhase.STOPPED, InstancePhase.ABSENT)


@dataclass(frozen=True)
class CommandStatus:
    """What is seen of a command that runs once.

    Attributes:
        running: it runs now.
        runs: how often it was begun; more than once only after its process was killed from outside.
        exit_code: of its end; None while it runs, and when there is no end to tell: it was ended from outside.
        reason: why it ended: "exited", "timeout", "disk_full", or the limit it passed.
        search_path: the PATH it had.
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
"""Asked right before something begins, after all that takes long, while nobody else can begin or stop the same one.

What it raises keeps it from beginning. Whoever stops something writes that down first, so that a check that reads the
record is enough: either it sees that, or the stop comes after the beginning. No lock of the record is needed.
"""


async def no_check() -> None:
    """Nothing can have changed."""


class Target(Protocol):
    """All calls are idempotent, and survive the death of the process that made them.

    `start` raises `TerminalError` with ARTIFACT_UNAVAILABLE, NO_FREE_PORT, BUILD_ISOLATION_UNAVAILABLE or DISK_FULL.
    `start` of one that is gone keeps its port unless somebody else has it by now: then it gets another one.
    `relocate` ends the instance and starts it on another port, since a stranger has the one it had; one that is not at
    that port any more stays.
    `stop` of an absent instance succeeds; it returns when the whole process tree is gone and removes its folder.
    """

    async def start(self, spec: InstanceSpec, *, check: Check = no_check) -> InstanceStatus: ...

    async def relocate(self, spec: InstanceSpec, *, port: int, check: Check = no_check) -> InstanceStatus: ...

    async def inspect(self, instance_id: str) -> InstanceStatus: ...

    async def stop(self, instance_id: str) -> None: ...

    async def list_instances(self) -> Sequence[InstanceStatus]: ...

    async def log_tail(self, instance_id: str, max_bytes: int = 4096) -> str: ...

    async def run_command(self, spec: InstanceSpec, timeout_s: float, *, check: Check = no_check) -> CommandStatus:
        """Begin a command that runs once, beside no port and with the limits of an instance.

        One that runs, or has ended by itself, is not begun again; neither is one that was begun `MAX_RUNS` times.
        Raises as `start`.
        """

    async def command(self, command_id: str) -> CommandStatus: ...

    async def command_output(self, command_id: str, offset: int) -> bytes:
        """A piece of its output from a byte on; empty: there is no more (now). Secrets are not masked."""

    async def end_command(self, command_id: str, *, keep_end: bool = False) -> None:
        """End it with its whole tree and remove its folder; absent is fine.

        `keep_end`: how it ended stays known, and what it left for the instances.
        Raises `TerminalError(RELEASE_COMMAND_FAILED)`, with `keep_end`: it left too much.
        """
