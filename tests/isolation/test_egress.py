"""Ways out that a stranger's build and instance try in vain: around the proxy, through it, by another's."""

import asyncio
import json
import socket
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from domain.destinations import Destination
from drivers import sandbox
from drivers.artifacts.folder import FolderArtifactStore
from drivers.builders.bubblewrap import BubblewrapBuilder
from drivers.egress.inside import ADDRESS, PORT
from drivers.targets.base import InstanceSpec
from drivers.targets.process import ProcessTarget
from tests.drivers.builders.workspace import Workspace
from tests.drivers.egress.way import LIMIT_S, Listener, Way

pytestmark = pytest.mark.skipif(not sandbox.available(), reason="nothing can run isolated on this machine")

PROBE = """
import contextlib, json, os, socket, struct, sys, urllib.request

w = json.load(open("known.json"))

class Denied(Exception):
    pass

def dial(host, port, family=socket.AF_INET, kind=socket.SOCK_STREAM):
    with socket.socket(family, kind) as made:
        made.settimeout(60)
        made.connect((host, port) if family != socket.AF_UNIX else host)
        if kind == socket.SOCK_DGRAM:
            made.send(b"x")

def proxy(request, good=b"HTTP/1.1 200"):
    with socket.create_connection(("%(address)s", %(port)d), timeout=60) as made:
        made.sendall(request)
        said = b""
        while b"\\r\\n\\r\\n" not in said and len(said) < 12 and (chunk := made.recv(4096)):
            said += chunk
        if not said.startswith(good):
            raise Denied(said[:100].decode("latin-1"))

def connect(to):
    proxy(f"CONNECT {to} HTTP/1.1\\r\\nHost: {to}\\r\\n\\r\\n".encode())

def socks(kind, host, port):
    asked = bytes([5, 1, 0, 5, 1, 0, kind]) + host + struct.pack("!H", port)
    proxy(asked, good=bytes([5, 0, 5, 0]))

def get(url):
    urllib.request.urlopen(url, timeout=60).read()

found = {}
for name, code in w["attempts"].items():
    try:
        exec(code)
        found[name] = "reached"
    except (OSError, Denied) as error:
        found[name] = "denied"
if os.access(".", os.W_OK):
    json.dump(found, open("found.json", "w"))
print("FOUND" + json.dumps(found))
""" % {"address": ADDRESS, "port": PORT}  # noqa: UP031 - braces are Python's

AROUND = {
    "a port of the machine's loopback": 'dial("127.0.0.1", w["port"])',
    "the machine by its own address": 'dial(w["own"], w["port"])',
    "the metadata service": 'dial("169.254.169.254", 80)',
    "a private address": 'dial("10.0.0.1", 80)',
    "a public address": 'dial("93.184.215.14", 443)',
    "an address of IPv6": 'dial("2001:4860:4860::8888", 443, socket.AF_INET6)',
    "a name server": 'dial("8.8.8.8", 53, kind=socket.SOCK_DGRAM)',
    "a name": 'socket.getaddrinfo("name.example", 80)',
    "an abstract socket of the machine's": 'dial("\\0" + w["abstract"], 0, socket.AF_UNIX)',
    "the way out of another tenant": 'dial(w["other"], 0, socket.AF_UNIX)',
    "the folder of all ways out": 'os.listdir(w["root"])',
    "the file that says who it is": 'open(w["identity"]).read()',
    "the place of its own socket": 'os.unlink("/delivery/ways/0/proxy.sock")',
    "a socket beside its own": 'socket.socket(socket.AF_UNIX).bind("/delivery/ways/0/other.sock")',
}
SPELLINGS = ("127.0.0.1", "localhost", "LOCALHOST.", "127.1", "0x7f.1", "2130706433", "017700000001", "[::1]")
HERE = (*SPELLINGS, "[::ffff:127.0.0.1]", "here.example")
ELSEWHERE = (
    "169.254.169.254",
    "metadata.example",
    "[fd00:ec2::254]",
    "10.0.0.1",
    "inner.example",
    "mixed.example",
    "0",
)
TUNNELLED = ("[fe80::1]", "[64:ff9b::a9fe:a9fe]", "[2002:7f00:1::]", "[2001:0:4136:e378:8000:63bf:3fff:fdd2]")
URL = 'proxy(b"GET http://%s HTTP/1.1\\r\\nHost: allowed.example\\r\\n\\r\\n" % ({}))'
THROUGH = {
    **{f"CONNECT {host}": f'connect("{host}:%d" % w["port"])' for host in HERE},
    **{f"CONNECT {host}": f'connect("{host}:80")' for host in (*ELSEWHERE, *TUNNELLED)},
    "the machine's own address": 'connect("%s:%d" % (w["own"], w["port"]))',
    "a user in front": 'connect("allowed.example@127.0.0.1:%d" % w["port"])',
    "a NUL in the middle": 'connect("allowed.example\\0:%d" % w["port"])',
    "mail": 'connect("allowed.example:25")',
    "a name that changes its meaning": """
connect("rebinding.example:%d" % w["web"])
connect("rebinding.example:%d" % w["web"])
""",
    "a URL": URL.format('b"127.0.0.1:%d/" % w["port"]'),
    "a URL of another Host": URL.format('b"inner.example/"'),
    "a URL with a user": URL.format('b"allowed.example:%d@127.0.0.1/" % w["web"]'),
    "a redirect": 'get("http://allowed.example:%d/" % w["web"])',
    "SOCKS by number": 'socks(1, b"\\x7f\\0\\0\\1", w["port"])',
    "SOCKS by number of IPv6": 'socks(4, bytes(15) + b"\\1", w["port"])',
    "SOCKS by a number in other clothes": 'socks(4, bytes(10) + b"\\xff\\xff\\x7f\\0\\0\\1", w["port"])',
    "SOCKS by name": 'socks(3, b"\\x0chere.example", w["port"])',
    "SOCKS by a name that is a number": 'socks(3, b"\\x0a2130706433", w["port"])',
    "what only another's service lists": 'connect("listed.example:%d" % w["port"])',
}
# The same lines get through where they may: an attempt that nobody can make proves nothing.
ALLOWED = {
    "a tunnel": 'connect("allowed.example:%d" % w["web"])',
    "SOCKS": 'socks(3, b"\\x0fallowed.example", w["web"])',
    "a URL": 'get("http://allowed.example:%d/fine" % w["web"])',
}


@dataclass
class Web:
    """Redirects to where nobody may go."""

    to: str = ""
    port: int = 0
    asked: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        self.asked.append(line)
        status = b"200 OK" if b"/fine" in line else b"302 Found\r\nLocation: " + self.to.encode()
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()


@dataclass
class World:
    way: Way
    listener: Listener
    web: Web
    root: Path
    known: dict[str, Any]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A listener that nobody may reach, a web server that everybody may, and another tenant with a way out."""
    web = Web()
    server = await asyncio.start_server(web.serve, "127.0.0.1", 0)
    web.port = server.sockets[0].getsockname()[1]
    abstract = f"delivery-test-{web.port}"
    async with Listener.opened() as listener, server:
        web.to = f"http://127.0.0.1:{listener.port}/"
        way = Way(tmp_path / "data" / "egress", tmp_path)
        way.names |= {name: [["127.0.0.1"]] for name in ("allowed.example", "here.example", "listed.example")}
        way.names |= {"rebinding.example": [["127.0.0.1"], ["10.0.0.1"]], "inner.example": [["10.0.0.1"]]}
        way.names |= {"metadata.example": [["169.254.169.254"]], "mixed.example": [["93.184.215.14", "127.0.0.1"]]}
        with socket.socket(socket.AF_UNIX) as unseen:
            unseen.bind(f"\0{abstract}")
            unseen.listen()
            await way.start(everybody=f"127.0.0.0/8:{web.port}", listed=f"127.0.0.0/8:{listener.port}")
            other = await way.door("other", "other", listed=(Destination("listed.example", listener.port),))
            known = {
                "port": listener.port,
                "web": web.port,
                "own": _own_address(),
                "abstract": abstract,
                "other": str(other / "proxy.sock"),
                "root": str(way.sandboxes.root),
                "identity": str(way.sandboxes.root / "other" / "sandbox.json"),
            }
            yield World(way, listener, web, tmp_path, known)
        await way.stop()


def _own_address() -> str:
    """One of the machine's that is not loopback, where it has one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.2"
        return str(probe.getsockname()[0])


Run = Callable[[World, dict[str, str]], Awaitable[dict[str, str]]]


async def from_build(world: World, attempts: dict[str, str]) -> dict[str, str]:
    workspace = Workspace.below(world.root / "data" / "workspaces" / "ours")
    _prepare(workspace.tree, world, attempts)
    builder = BubblewrapBuilder((world.root,), ways=world.way.sandboxes)
    result = await builder.run(workspace.request("python3 probe.py"))
    assert result.exit_code == 0, result.tail
    found: dict[str, str] = json.loads((workspace.tree / "found.json").read_text())
    return found


async def from_instance(world: World, attempts: dict[str, str]) -> dict[str, str]:
    tree = world.root / "tree"
    tree.mkdir()
    _prepare(tree, world, attempts)
    store = FolderArtifactStore(world.root / "data" / "artifacts")
    digest = (await store.store(tree)).digest
    target = ProcessTarget(
        *(world.root / "data" / "instances", store),
        trusted_code=False,
        hidden=(world.root,),
        sockets=world.root / "s",
        ways=world.way.sandboxes,
    )
    spec = InstanceSpec("r1-0", "r1", digest, "python3 probe.py; exec sleep 1000", organization="acme", project="shop")
    try:
        await target.start(spec)
        async with asyncio.timeout(LIMIT_S):
            while "FOUND" not in (log := await target.log_tail("r1-0", 100_000)):  # noqa: ASYNC110 - polled
                await asyncio.sleep(0.05)
    finally:
        await target.stop("r1-0")
    found: dict[str, str] = json.loads(log.partition("FOUND")[2].splitlines()[0])
    return found


def _prepare(folder: Path, world: World, attempts: dict[str, str]) -> None:
    (folder / "probe.py").write_text(textwrap.dedent(PROBE))
    (folder / "known.json").write_text(json.dumps(world.known | {"attempts": attempts}))


@pytest.mark.parametrize("run", [from_build, from_instance])
async def test_there_is_no_way_out_but_the_allowed_one(world: World, run: Run) -> None:
    found = await run(world, AROUND | THROUGH | {f"allowed: {name}": code for name, code in ALLOWED.items()})
    reached = {name for name, verdict in found.items() if verdict == "reached"}
    assert reached == {f"allowed: {name}" for name in ALLOWED}
    assert found.keys() > AROUND.keys() | THROUGH.keys()
    assert world.listener.visits == 0
    assert any(line.startswith(b"GET / ") for line in world.web.asked), "the redirect was seen, and not followed"


@pytest.mark.parametrize("run", [from_build, from_instance])
async def test_without_a_proxy_there_is_no_way_out_at_all(world: World, run: Run) -> None:
    world.way.sandboxes = None  # type: ignore[assignment] # taken away
    found = await run(world, AROUND | ALLOWED)
    assert set(found.values()) == {"denied"}
