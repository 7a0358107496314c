"""What a stranger may reach for, made for the attempts, and the places they are made from."""

import asyncio
import contextlib
import itertools
import json
import os
import platform
import resource
import shutil
import socket
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from domain.destinations import DEFAULT_PORTS, Rules
from domain.wire import PIPE_PORT
from drivers import seccomp
from drivers.artifacts.folder import FolderArtifactStore
from drivers.builders.base import Limits, RunRequest
from drivers.builders.bubblewrap import BubblewrapBuilder
from drivers.clean_env import CodePath
from drivers.egress.doors import Doors
from drivers.egress.proxy import Proxy
from drivers.egress.sandboxes import Sandbox, Sandboxes
from drivers.egress.shares import Limits as Shared
from drivers.egress.shares import Shares
from drivers.sandbox import TMP
from drivers.targets.base import InstanceSpec
from drivers.targets.process import ProcessTarget
from runtime.outbound import SystemLookup
from tests.drivers.shim.helpers import DAEMON, marker, running
from tests.isolation.attempts import ATTEMPTS, PORTS, UNIX_SOCKETS, Control, Excess

_PROBE = Path(__file__).with_name("probe.py")
_COMMAND = "exec python3 -I -S probe.py attempts.json"
_LIMIT_S = 1200  # some hundred processes of Python, on a busy machine
# What code may have that is to pass its limits soon.
LITTLE = {"processes": 100, "memory_mb": 100, "disk_mb": 60}
# Of another user than the engine's and inside of none at all.
_SOMEBODY = 12345
_PUBLIC = "93.184.215.14"
# What names mean to the proxy: the first meaning to whoever asks first, the next one then, and so on around.
NAMES = {
    "allowed.test": ["127.0.0.1"],
    "here.test": ["127.0.0.1"],
    "inner.test": ["10.0.0.1"],
    "metadata.test": ["169.254.169.254"],
    "mapped.test": ["::ffff:127.0.0.1"],
    "nat64.test": ["64:ff9b::7f00:1"],
    "six2four.test": ["2002:7f00:1::1"],
    "zero.test": ["0.0.0.0"],  # noqa: S104 - nobody listens there
    "rebinding.test": ["127.0.0.1", "10.0.0.1"],
}
# To each of its addresses at once: one that nobody may reach is enough.
MIXED = {"mixed.test": [_PUBLIC, "127.0.0.1"]}


@dataclass(frozen=True)
class Outcome:
    """Of one attempt from one place: denied, reached or broken, and in which words."""

    verdict: str
    words: str


@dataclass
class World:
    """A data folder as an engine has it, with things of other tenants; `known` is what attempts are told."""

    root: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    known: dict[str, Any] = field(default_factory=dict)
    port: int = 0
    ports: dict[str, int] = field(default_factory=dict)
    web: int = 0

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def doors(self) -> Path:
        """Where the sockets of instances are."""
        return self.data / "doors"

    @property
    def ways(self) -> Sandboxes:
        return Sandboxes(self.data / "egress")

    def prepare(self, pid: int) -> None:
        """`pid`: a process of the engine's with the mark in its environment."""
        files = {
            "workspace": self.data / "workspaces" / "theirs" / "tree" / "secret",
            "instance": self.data / "instances" / "theirs-0" / "app" / "secret",
            "signing_key": self.data / "keys" / "signing.pem",
            "encryption_key": self.data / "keys" / "encryption.key",
        }
        for path in files.values():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.mark)
        (self.data / "artifacts").mkdir()
        self.known = {
            **{name: str(path) for name, path in files.items()},
            "data": str(self.data),
            "artifacts": str(self.data / "artifacts"),
            "set_user_id": str(self._set_user_id()),
            "pid": pid,
            "port": self.port,
            "ports": self.ports,
            "web": self.web,
            "address": _own_address(),
            "abstract": self.mark,
            "neighbour": str(self.doors / "theirs-0"),
            "service_port": PIPE_PORT,
            "their_way": str(self.ways.door("theirs")),
            "mark": self.mark,
            "tmp": TMP,
            "inotify": int(Path("/proc/sys/user/max_inotify_instances").read_text()) // 4,
            "timers": _signals() // 4,
            "calls": dict(seccomp.calls(platform.machine())),
        }

    def _set_user_id(self) -> Path:
        """`id` with another user's rights, in a folder that isolated code is shown."""
        folder = self.root / "tools"
        folder.mkdir()
        program = folder / "id"
        shutil.copy("/usr/bin/id", program)
        if os.geteuid() == 0:
            os.chown(program, _SOMEBODY, -1)
        program.chmod(0o4755)
        return program

    @property
    def path(self) -> CodePath:
        usual = CodePath.of("", trusted=False)
        return CodePath(usual.folders, (*usual.shown, self.root / "tools"))

    def plant(self, folder: Path, place: str) -> None:
        """The probe and its table, as files of a repository."""
        outside = place == "outside"  # there, only what does no harm
        tried = (each for each in ATTEMPTS if (each.control != Control.NOBODY if outside else place in each.places))
        chosen = {each.name: each.code for each in tried}
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(_PROBE, folder / "probe.py")
        told = {**self.known, "tmp": str(self.root)} if outside else self.known
        (folder / "attempts.json").write_text(json.dumps({"world": told, "attempts": chosen}))

    async def from_build(self) -> dict[str, Outcome]:
        request = self.request(_COMMAND)
        self.plant(request.workdir, "build")
        await BubblewrapBuilder((self.data,), self.path, ways=self.ways).run(request)
        return _outcomes(request.log_path.read_text())

    def request(self, step: str, **limits: int) -> RunRequest:
        """A build of the tenant whose code tries."""
        name = uuid.uuid4().hex
        workspace = self.data / "workspaces" / name
        (workspace / "tree").mkdir(parents=True)
        return RunRequest(
            name, workspace / "tree", workspace / "state", (step,), workspace / "log", limits=Limits(**limits)
        )

    async def from_instance(self) -> dict[str, Outcome]:
        async with self.instance(_COMMAND + "; sleep 600") as log:
            async with asyncio.timeout(_LIMIT_S):
                while "ATTEMPTS-DONE" not in (text := log.read_text() if log.exists() else ""):  # noqa: ASYNC110 - polled
                    await asyncio.sleep(0.1)
        return _outcomes(text)

    @asynccontextmanager
    async def instance(self, command: str, **limits: int) -> AsyncIterator[Path]:
        """One of the tenant's instances, and its log; `probe.py` is in its release."""
        tree = self.root / "release"
        self.plant(tree, "instance")
        digest = (await self._store.store(tree)).digest
        target = self.target
        await target.start(InstanceSpec("ours-0", "ours", digest, command, **limits))
        try:
            yield self.data / "instances" / "ours-0" / "service.log"
        finally:
            await target.stop("ours-0")

    @property
    def _store(self) -> FolderArtifactStore:
        return FolderArtifactStore(self.data / "artifacts")

    @property
    def target(self) -> ProcessTarget:
        """Where the tenant's instances run."""
        return ProcessTarget(
            *(self.data / "instances", self._store),
            trusted_code=False,
            hidden=(self.data,),
            path=self.path,
            sockets=self.doors,
            ways=self.ways,
        )

    async def taken_from_build(self, excess: Excess, argument: str) -> str | None:
        """Why a build that takes without end was ended. `argument`: of its command line, to find it by."""
        request = self.request(f"exec python3 -I excess.py {argument}", **LITTLE)
        (request.workdir / "excess.py").write_text(_program(excess))
        return (await BubblewrapBuilder((self.data,), self.path).run(request)).reason

    async def taken_from_instance(self, excess: Excess, argument: str) -> str | None:
        """The same of an instance; None: it was not ended in all the time there is."""
        (self.root / "release").mkdir(exist_ok=True)
        (self.root / "release" / "excess.py").write_text(_program(excess))
        async with self.instance(f"exec python3 -I excess.py {argument}", **LITTLE):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LIMIT_S):
                    while not (reason := (await self.target.inspect("ours-0")).ended_by):  # noqa: ASYNC110 - polled
                        await asyncio.sleep(0.1)
                    return reason
        return None

    async def outlived_build(self) -> list[int]:
        """What is left of a build that wants to outlive its own end."""
        mark = marker()
        result = await BubblewrapBuilder((self.data,), self.path).run(self.request(DAEMON.format(mark=mark)))
        if result.exit_code != 0:
            raise RuntimeError(f"the build did not do what it was to: {result.tail}")
        return running(mark)

    async def outlived_instance(self) -> list[int]:
        """The same of an instance, which has three processes and no ear for SIGTERM."""
        mark = marker()
        async with self.instance(f"{DAEMON.format(mark=mark)}; trap '' TERM; sleep {mark}", memory_mb=200):
            async with asyncio.timeout(_LIMIT_S):
                while len(running(mark)) < 3:  # noqa: ASYNC110 - polled
                    await asyncio.sleep(0.05)
        return running(mark)

    def from_outside(self) -> dict[str, Outcome]:
        """Without isolation: what the lines themselves are worth."""
        folder = self.root / "outside"
        self.plant(folder, "outside")
        argv = [sys.executable, "-I", "-S", "probe.py", "attempts.json"]
        done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=_LIMIT_S, check=True)
        return _outcomes(done.stdout)


@asynccontextmanager
async def made(root: Path) -> AsyncIterator[World]:
    """A world whose engine lives as long as the block."""
    world = World(root)
    world.doors.mkdir(mode=0o700, parents=True)
    engine = await asyncio.create_subprocess_exec("/bin/sleep", "1000", env={"DELIVERY_SECRET": world.mark})
    with contextlib.ExitStack() as stack:
        abstract, neighbour = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(2)]
        for each, name in ((abstract, f"\0{world.mark}"), (neighbour, str(world.doors / "theirs-0"))):
            each.bind(name)
            each.listen(64)
        world.ports = {name: _listening(stack) for name in PORTS}
        world.port = world.ports["temporal"]
        web = await asyncio.start_server(partial(_redirect, world), "127.0.0.1", 0)
        world.web = web.sockets[0].getsockname()[1]
        try:
            await asyncio.to_thread(world.prepare, engine.pid)
            for name in UNIX_SOCKETS:
                _listen_below(stack, world.data, name)
            async with web, _proxy(world):
                await world.ways.open(Sandbox("theirs", "theirs", "theirs", owner=world.root))
                yield world
        finally:
            engine.kill()
            await engine.wait()


def _listening(stack: contextlib.ExitStack) -> int:
    """A port of this machine, by IPv4 and IPv6, that somebody listens on."""
    made = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    return int(stack.enter_context(made).getsockname()[1])


def _listen_below(stack: contextlib.ExitStack, folder: Path, name: str) -> None:
    """By a short name: a path may be longer than the name of a socket."""
    listener = stack.enter_context(socket.socket(socket.AF_UNIX))
    at = os.open(folder, os.O_PATH)
    listener.bind(f"/proc/self/fd/{at}/{name}")
    os.close(at)
    listener.listen(64)


async def _redirect(world: World, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A web server that everybody may reach, and that sends whoever asks to where nobody may go."""
    with contextlib.suppress(OSError, EOFError), contextlib.closing(writer):
        line = await reader.readline()
        fine = b"/fine" in line
        status = "200 OK" if fine else f"302 Found\r\nLocation: http://here.test:{world.port}/"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()


@asynccontextmanager
async def _proxy(world: World) -> AsyncIterator[None]:
    """As the engine's, with the rules of one whose operator has allowed a web server on loopback and nothing else."""
    lookup = SystemLookup()
    meanings = {name: itertools.cycle(each) for name, each in NAMES.items()}

    async def resolve(host: str) -> list[str]:
        if host in meanings:
            return [next(meanings[host])]
        return MIXED.get(host) or await lookup.resolve(host)

    rules = Rules.parse(ports=DEFAULT_PORTS, everybody=f"127.0.0.0/8:{world.web}", listed="")
    serving = asyncio.create_task(Doors(world.ways, Proxy(rules, Shares(Shared()), resolve)).run())
    try:
        yield
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        lookup.close()


def _signals() -> int:
    """How many may wait for our user; many where there is no limit."""
    limit = resource.getrlimit(resource.RLIMIT_SIGPENDING)[0]
    return 1 << 20 if limit == resource.RLIM_INFINITY else limit


def _own_address() -> str:
    """Of the machine; loopback where it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 53))  # sends nothing
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def _program(excess: Excess) -> str:
    """In a folder that may be written: an instance's release is none."""
    return f"import os, time\nos.chdir(os.environ['TMPDIR'])\n{excess.code}\n"


def _outcomes(text: str) -> dict[str, Outcome]:
    lines = [line.partition("ATTEMPT ")[2] for line in text.splitlines() if line.startswith("ATTEMPT ")]
    return {name: Outcome(verdict, words) for name, verdict, words in map(json.loads, lines)}


def verdicts(found: Mapping[str, Outcome]) -> dict[str, str]:
    """By the attempt's name."""
    return {name: outcome.verdict for name, outcome in found.items()}
