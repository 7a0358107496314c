"""What a stranger may reach for, made for the attempts, and the places they are made from."""

import asyncio
import contextlib
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
from pathlib import Path
from typing import Any

from domain.destinations import Rules
from domain.wire import PIPE_PORT
from drivers import seccomp
from drivers.artifacts.folder import FolderArtifactStore
from drivers.bare import CodePath
from drivers.builders.base import Limits, RunRequest
from drivers.builders.bubblewrap import BubblewrapBuilder
from drivers.egress.doors import Doors
from drivers.egress.names import Names
from drivers.egress.proxy import Proxy
from drivers.egress.sandboxes import Sandbox, Sandboxes
from drivers.egress.shares import Limits as Shared
from drivers.egress.shares import Shares
from drivers.sandbox import TMP
from drivers.targets.base import InstanceSpec
from drivers.targets.process import ProcessTarget
from tests.isolation.attempts import ATTEMPTS, Control

_PROBE = Path(__file__).with_name("probe.py")
_COMMAND = "exec python3 -I -S probe.py attempts.json"
_LIMIT_S = 300
# Of another user than the engine's and inside of none at all.
_SOMEBODY = 12345


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
                while "ATTEMPTS-DONE" not in (text := log.read_text() if log.exists() else ""):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
        return _outcomes(text)

    @asynccontextmanager
    async def instance(self, command: str, **limits: int) -> AsyncIterator[Path]:
        """One of the tenant's instances, and its log; `probe.py` is in its release."""
        tree = self.root / "release"
        self.plant(tree, "instance")
        store = FolderArtifactStore(self.data / "artifacts")
        digest = (await store.store(tree)).digest
        instances = self.data / "instances"
        target = ProcessTarget(
            *(instances, store),
            trusted_code=False,
            hidden=(self.data,),
            path=self.path,
            sockets=self.doors,
            ways=self.ways,
        )
        await target.start(InstanceSpec("ours-0", "ours", digest, command, **limits))
        try:
            yield instances / "ours-0" / "service.log"
        finally:
            await target.stop("ours-0")

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
        listener, abstract, neighbour = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(3)]
        for each, name in ((abstract, f"\0{world.mark}"), (neighbour, str(world.doors / "theirs-0"))):
            each.bind(name)
            each.listen(64)
        everywhere = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        world.port = stack.enter_context(everywhere).getsockname()[1]
        try:
            await asyncio.to_thread(world.prepare, engine.pid)
            # By a short name: a path may be longer than the name of a socket.
            at = os.open(world.data, os.O_PATH)
            listener.bind(f"/proc/self/fd/{at}/engine.sock")
            os.close(at)
            listener.listen(64)
            async with _proxy(world.ways):
                await world.ways.open(Sandbox("theirs", "theirs", "theirs", owner=world.root))
                yield world
        finally:
            engine.kill()
            await engine.wait()


@asynccontextmanager
async def _proxy(ways: Sandboxes) -> AsyncIterator[None]:
    """As the engine's, with the rules of one whose operator has set nothing."""
    names = Names()
    running = asyncio.create_task(Doors(ways, Proxy(Rules(), Shares(Shared()), names.resolve)).run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        names.close()


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


def _outcomes(text: str) -> dict[str, Outcome]:
    lines = [line.partition("ATTEMPT ")[2] for line in text.splitlines() if line.startswith("ATTEMPT ")]
    return {name: Outcome(verdict, words) for name, verdict, words in map(json.loads, lines)}


def verdicts(found: Mapping[str, Outcome]) -> dict[str, str]:
    """By the attempt's name."""
    return {name: outcome.verdict for name, outcome in found.items()}
