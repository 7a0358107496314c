"""The whole stack without trust in code: what is deployed reaches its users through unix sockets, and nothing else."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import psycopg
import pytest

from drivers import isolation
from drivers.folders import remove_tree
from runtime.stack import orphans
from tests.chaos.records import Records
from tests.support.load_process import load_on
from tests.support.platform import App, Platform
from tests.support.services import until

pytestmark = [pytest.mark.e2e, pytest.mark.deep, pytest.mark.timeout(600)]

# Beside what the example answers: `/echo` gives a body back, a WebSocket (or what says so) is echoed to its end, and
# `/reach?port` or `/reach?path` tells whether something can be dialled from inside.
WIDE = """
import asyncio, json, os
VERSION = open("VERSION").read().strip()

def reach(what):
    import socket
    family, address = (socket.AF_INET, ("127.0.0.1", int(what))) if what.isdigit() else (socket.AF_UNIX, what)
    try:
        with socket.socket(family) as found:
            found.settimeout(30)
            found.connect(address)
    except OSError as error:
        return type(error).__name__
    return "reached"

async def serve(reader, writer):
    try:
        while head := await reader.readuntil(b"\\r\\n\\r\\n"):
            first, *lines = head.decode("latin-1").split("\\r\\n")
            headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines if line)}
            path = first.split(" ")[1]
            if "upgrade" in headers:
                writer.write(b"HTTP/1.1 101 X\\r\\nconnection: upgrade\\r\\nupgrade: websocket\\r\\n\\r\\n")
                while data := await reader.read(65536):
                    writer.write(data)
                break
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            if path == "/version":
                body = json.dumps({"version": VERSION, "port": os.environ["PORT"]}).encode()
            elif path == "/taken":
                body = str(TAKEN).encode()
            elif path.startswith("/reach?"):
                body = reach(path[7:]).encode()
            writer.write(f"HTTP/1.1 200 OK\\r\\ncontent-length: {len(body)}\\r\\n\\r\\n".encode() + body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()

async def main():
    async with await asyncio.start_server(serve, "127.0.0.1", int(os.environ["PORT"])) as server:
        await server.serve_forever()

asyncio.run(main())
"""
TAKES = """
import ctypes
TAKEN = sum(ctypes.CDLL(None).inotify_init1(0) >= 0 for _ in range(200))
"""
SPEC: dict[str, Any] = {
    "build": {"steps": ["true"], "output": "."},
    # A busy machine takes long to start Python in a sandbox.
    "service": {"command": "exec python3 wide.py", "replicas": 2, "health": {"startup_timeout": 90}},
}
SCREENED = {**SPEC, "analysis": {"duration": 30, "min_requests": 30, "compare": ["errors"], "pass_early": True}}


@pytest.fixture(scope="module")
def isolated() -> Iterator[Platform]:
    """A stack of its own."""
    isolation.check()
    folder = Path(tempfile.mkdtemp(prefix="de iso-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        running = Platform(folder / "data", folder / "repositories", {"DELIVERY_TRUSTED_CODE": "false"})
        try:
            yield running
        finally:
            running.close()
    finally:
        remove_tree(folder)


@pytest.fixture(scope="module")
def wide(isolated: Platform) -> App:
    app = isolated.app("wide")
    app.ship_good(files={"wide.py": WIDE}, spec=SPEC)
    return app


@pytest.fixture
def records(isolated: Platform) -> Iterator[Records]:
    found = Records(isolated.stack.data_dir)
    yield found
    found.close()


def addresses(records: Records) -> list[str]:
    """Where the instances in rotation are reached. PostgreSQL may be asked twice on a busy machine."""
    with contextlib.suppress(psycopg.OperationalError):
        records.all("SELECT 1")
    return [str(row["address"]) for row in records.all("SELECT address FROM instances WHERE in_rotation ORDER BY id")]


def _answers(app: App) -> bool:
    try:
        return app.service.get("/version").status_code == httpx2.codes.OK
    except httpx2.HTTPError:
        return False


def test_a_deployment_is_reached_through_sockets_alone(wide: App, records: Records) -> None:
    found = addresses(records)
    assert len(found) == 2
    assert all(Path(path).is_socket() and len(path) < 108 for path in found)
    assert {Path(path).parent.stat().st_mode & 0o777 for path in found} == {0o700}
    assert wide.service.get("/version").json()["port"] == "8080"


def test_a_large_body_each_way_and_a_websocket_pass(wide: App, isolated: Platform) -> None:
    body = bytes(range(256)) * (16 * 4096)
    ingress, host = urlsplit(isolated.stack.addresses["ingress"]), _host(wide)
    head = f"POST /echo HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    answer = asyncio.run(_talk(ingress.port, head.encode(), body))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.partition(b"\r\n\r\n")[2] == body
    head = f"GET /ws HTTP/1.1\r\nhost: {host}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    answer = asyncio.run(_talk(ingress.port, head.encode(), body[:1_000_000]))
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert answer.partition(b"\r\n\r\n")[2] == body[:1_000_000]


def test_from_an_instance_nothing_of_ours_is_reached(wide: App, isolated: Platform, records: Records) -> None:
    """Temporal's gRPC, HTTP, UI and metrics, the API, PostgreSQL's and Envoy's sockets, another instance's."""
    ports = json.loads((records.layout.data / "ports.json").read_text())
    numbers = {str(value) for value in ports.values() if isinstance(value, int)}
    numbers |= {str(urlsplit(url if "//" in url else f"//{url}").port) for url in isolated.stack.addresses.values()}
    sockets = [str(path) for path in records.layout.sockets.rglob("*") if path.is_socket()]
    assert len(numbers) >= 5
    assert any(Path(path).name.startswith(".s.PGSQL") for path in sockets)
    assert str(records.layout.admin_socket) in sockets
    assert set(addresses(records)) <= set(sockets)
    for target in (*sorted(numbers), *sockets):
        if target.isdigit():  # the same from the host: that is what it would reach
            socket.create_connection(("127.0.0.1", int(target)), timeout=60).close()
        found = wide.service.get(f"/reach?{target}").text
        assert found in {"ConnectionRefusedError", "FileNotFoundError", "PermissionError"}, (target, found)


def test_canary_and_rollback_and_a_failed_one(wide: App) -> None:
    before = wide.service.version()
    with load_on(wide.service, rps=40) as load:
        good = wide.ship(spec=SCREENED, deployment_strategy="canary", canary_percentage=50)
        assert good.succeeded, good.operation
        assert wide.service.version() == good.version
        back = wide.api.rollback(good.deployment["id"], "as it was")
        until(lambda: wide.service.version() == before, f"the way back {back}")
        until(lambda: wide.api.environment(wide.project["id"])["lock"] is None, "the end of the rollback")
        quick = {"health": {"startup_timeout": 4}}
        deaf = wide.ship(spec={**SPEC, "service": {**SPEC["service"], **quick, "command": "exec sleep 1000"}})
        summary = load.stop()
    assert deaf.error["code"] == "INSTANCE_UNHEALTHY"
    assert "nothing listens on its port" in deaf.error["message"]
    assert wide.service.version() == before
    assert summary["failures"] == 0, summary["examples"]


def test_who_takes_what_the_kernel_counts_by_user_keeps_the_router_from_nothing(
    wide: App, isolated: Platform, records: Records
) -> None:
    """Two instances take inotify instances without end. The router watches its files by two of its own."""
    most = int(Path("/proc/sys/user/max_inotify_instances").read_text())
    greedy = isolated.app("greedy")
    greedy.ship_good(files={"wide.py": TAKES + WIDE}, spec=SPEC)
    taken = int(greedy.service.get("/taken").text)
    assert 0 < taken <= most // 4
    os.kill(orphans.running(records.layout)["envoy"], signal.SIGKILL)
    until(lambda: _answers(wide), "the router's return", 120)
    again = wide.ship_good(spec=SPEC)
    until(lambda: _answers(wide), "the new version", 120)
    assert wide.service.version() == again.version


def test_a_service_on_another_port_fails_with_the_port(wide: App) -> None:
    command = "exec env PORT=9999 python3 wide.py"
    quick = {"health": {"startup_timeout": 20}}
    shipped = wide.ship(spec={**SPEC, "service": {**SPEC["service"], **quick, "command": command}})
    assert shipped.error["code"] == "INSTANCE_WRONG_PORT"
    assert "port 9999 instead of $PORT (8080)" in shipped.error["message"]


def test_a_killed_instance_is_back_at_its_socket(wide: App, records: Records) -> None:
    version, before = wide.service.version(), addresses(records)
    environment_id = records.environment(wide.project["id"])["id"]
    killed = {name: shim.child_pid for name, shim in records.shims(environment_id).items()}
    assert len(killed) == 2
    for pid in killed.values():
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

    def others_run() -> bool:
        """What is inside of a sandbox answers until a moment after the sandbox was killed."""
        now = {name: shim.child_pid for name, shim in records.shims(environment_id).items()}
        return now.keys() == killed.keys() and all(now[name] not in (None, killed[name]) for name in killed)

    until(others_run, "other processes")
    until(lambda: wide.serves(version), "its return")
    assert addresses(records) == before


def test_after_a_restart_of_the_stack_the_same_sockets_serve(wide: App, isolated: Platform, records: Records) -> None:
    version, before = wide.service.version(), addresses(records)
    records.close()
    isolated.restart()
    until(lambda: wide.serves(version), "its return", 180)
    assert addresses(records) == before


def test_a_killed_supervisor_leaves_services_serving_for_the_next(
    wide: App, isolated: Platform, records: Records
) -> None:
    version, before = wide.service.version(), addresses(records)
    isolated.close_connections()
    records.close()
    isolated.stack.kill()
    isolated.start()
    until(lambda: wide.serves(version), "its return", 180)
    assert addresses(records) == before


def _host(app: App) -> str:
    return str(urlsplit(app.api.environment(app.project["id"])["url"]).hostname)


async def _talk(port: int | None, head: bytes, body: bytes) -> bytes:
    """Says it all while it listens; the answer as long as the body is awaited, then the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def say() -> None:
        writer.write(head)
        writer.write(body)
        await writer.drain()

    saying = asyncio.create_task(say())
    answer, deadline = b"", time.monotonic() + 120
    while len(answer.partition(b"\r\n\r\n")[2]) < len(body) and time.monotonic() < deadline:
        part = await reader.read(1 << 20)
        if not part:
            break
        answer += part
    await saying
    writer.close()
    return answer
