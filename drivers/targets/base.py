"""Target drivers run instances of a service."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


@dataclass(frozen=True)
class InstanceSpec:
    """What one instance runs.

    Attributes:
        instance_id: stable id and idempotency key (`{release_id}-{index}`): starting it twice is starting it once.
        release_id: the release it belongs to.
        artifact_digest: what to run, unpacked by the driver from its artifact store.
        command: shell line; it must listen on 127.0.0.1:$PORT.
        env: the service's environment; PORT, PATH, HOME, TMPDIR are set by the driver, whatever stands there.
        secrets: more of it, never written down and in no command line; these go before `env`.
        memory_mb, processes, disk_mb: what the whole tree may use before it is ended and restarted (MiB, shared pages
            counted once; processes and threads; MiB of its folders). The target's own limits may be lower; None: those.
        stop_timeout_s: seconds between SIGTERM and SIGKILL.
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
        address, port: where it must listen (assigned by the engine; 0 when absent).
        listening: a socket of the instance's own process tree listens on exactly that port.
        listens_elsewhere: other TCP ports the tree listens on (for the message of INSTANCE_WRONG_PORT).
        unreachable_at: addresses on which it listens on that port and which a connection to 127.0.0.1 does not reach.
        port_taken: a process that is none of the instance's listens on its port, so that what is sent there may reach a
            stranger. In a list it may be a moment's impression; `inspect` looks twice.
        restarts: how often it died and was started again.
        exit_code: of the last death, None if it never died; 128+n for signal n.
        search_path: the PATH it was started with.
        running_s: for how many seconds its present process has run; None when it has none.
        ended_by: the limit whose passing was the last death (`memory_limit`, `process_limit`, `disk_limit`); None: it
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
        """Nobody keeps it, which is not its own doing: what dies by itself is started again by its keeper."""
        return self.phase in (InstancePhase.STOPPED, InstancePhase.ABSENT)


class Target(Protocol):
    """All calls are idempotent, and survive the death of the process that made them.

    `start` raises `TerminalError` with ARTIFACT_UNAVAILABLE, NO_FREE_PORT, BUILD_ISOLATION_UNAVAILABLE or DISK_FULL.
    `start` of one that is gone keeps its port unless somebody else has it by now: then it gets another one.
    `relocate` ends the instance and starts it on another port, since a stranger has the one it had.
    `stop` of an absent instance succeeds; it returns when the whole process tree is gone and removes its folder.
    """

    async def start(self, spec: InstanceSpec) -> InstanceStatus: ...

    async def relocate(self, spec: InstanceSpec) -> InstanceStatus: ...

    async def inspect(self, instance_id: str) -> InstanceStatus: ...

    async def stop(self, instance_id: str) -> None: ...

    async def list_instances(self) -> Sequence[InstanceStatus]: ...

    async def log_tail(self, instance_id: str, max_bytes: int = 4096) -> str: ...
