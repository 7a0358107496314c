"""An isolated instance has a network of its own: its door is a unix socket, which is its identity."""

import asyncio
import http.client
import os
import signal
import socket
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest

from domain.errors import ErrorCode, TerminalError
from domain.wire import PIPE_PORT
from drivers.bridge import network
from drivers.bridge import program as bridge_program
from drivers.bridge.network import Forward
from drivers.shim import client, proc
from drivers.targets.base import InstancePhase, InstanceStatus
from drivers.targets.process import ProcessTarget, listeners
from tests.drivers.shim.helpers import until
from tests.drivers.targets.service import Service, ask, dial

DIALS = """
import socket, sys
for line in sys.argv[1:]:
    host, port = line.rsplit(":", 1)
    try:
        made = socket.create_connection((host, int(port)), timeout=20)
        made.sendall(b"hello")
        made.shutdown(socket.SHUT_WR)
        print(line, made.recv(100).decode(), flush=True)
    except OSError as error:
        print(line, type(error).__name__, flush=True)
"""


async def test_every_instance_has_the_same_port_and_a_socket_of_its_own(alone: Service) -> None:
    first, other = await alone.listening(alone.spec()), await alone.listening(alone.spec("r1-1"))
    assert (first.port, other.port) == (PIPE_PORT, PIPE_PORT)
    assert first.address != other.address
    assert ask(first)["pid"] is not None
    assert ask(first)["env"]["PORT"] == str(PIPE_PORT)
    for path in (first.address, other.address):
        found = os.stat(path)  # noqa: PTH116 - a moment
        assert stat.S_ISSOCK(found.st_mode)
        assert stat.S_IMODE(found.st_mode) == 0o660
    assert stat.S_IMODE(alone.sockets.stat().st_mode) == 0o700


async def test_the_socket_stays_the_same_over_restarts_and_refuses_while_nothing_runs(alone: Service) -> None:
    crash = "python3 service.py & sleep 1; kill -9 $!; exit 1"
    before = await alone.listening(alone.spec(command=crash))
    await alone.seen("r1-0", "phase", InstancePhase.BACKOFF)
    with pytest.raises(ConnectionRefusedError):
        dial(before)
    await alone.seen("r1-0", "phase", InstancePhase.RUNNING)
    after = await alone.seen("r1-0", "listening")
    assert (after.address, after.port) == (before.address, before.port)


async def test_where_nobody_listens_the_bridge_says_so(alone: Service) -> None:
    status = await alone.target.start(alone.spec(command="exec sleep 1000"))
    await alone.seen("r1-0", "phase", InstancePhase.RUNNING)
    with dial(status) as sock:
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b"x-delivery-refused" in sock.recv(1000)
    assert not (await alone.target.inspect("r1-0")).listening


async def test_a_socket_that_is_gone_is_made_anew(alone: Service) -> None:
    """Somebody cleared the folder of temporary files."""
    before = await alone.listening(alone.spec())
    os.unlink(before.address)  # noqa: PTH108 - a moment
    assert (await alone.target.inspect("r1-0")).port_taken
    assert [each.port_taken for each in await alone.target.list_instances()] == [True]
    after = await alone.target.relocate(alone.spec(), port=before.port)
    assert after.address == before.address
    assert not (await alone.seen("r1-0", "listening")).port_taken
    ask(after)


async def test_a_folder_of_sockets_that_is_gone_is_waited_for(alone: Service) -> None:
    status = await alone.listening(alone.spec())
    moved = alone.sockets.with_name("elsewhere")
    alone.sockets.rename(moved)
    assert status.pid is not None
    os.kill(client.tree(status.pid)[-1], signal.SIGKILL)
    await until(lambda: "cannot be made" in (alone.root / "r1-0" / "service.log").read_text(), "it is told")
    moved.rename(alone.sockets)
    ask(await alone.seen("r1-0", "listening"))


async def test_nothing_is_left_of_the_socket(alone: Service) -> None:
    await alone.listening(alone.spec())
    shim = client.status(alone.root / "r1-0" / "shim").shim_pid
    assert shim is not None
    os.kill(shim, signal.SIGKILL)  # and so it cannot clear up
    await alone.seen("r1-0", "phase", InstancePhase.STOPPED)
    await alone.target.stop("r1-0")
    assert list(alone.sockets.iterdir()) == []


async def test_whoever_kills_the_bridge_ends_itself_and_is_started_again(alone: Service) -> None:
    status = await alone.listening(alone.spec())
    (bridge,) = [pid for pid in client.tree(status.pid) if _name(pid) == "delivery-bridge"]
    os.kill(bridge, signal.SIGKILL)
    await alone.restarted()
    ask(await alone.seen("r1-0", "listening"))


async def test_a_bridge_takes_less_than_a_megabyte_of_its_own(alone: Service) -> None:
    status = await alone.listening(alone.spec())
    (bridge,) = [pid for pid in client.tree(status.pid) if _name(pid) == "delivery-bridge"]
    assert proc.resident_bytes([bridge]) < 2 * 1024 * 1024
    assert sum(proc.proportional_bytes(bridge)) < 1024 * 1024


async def test_an_empty_network_reaches_nothing_of_the_hosts(alone: Service) -> None:
    with socket.create_server(("127.0.0.1", 0)) as here:
        (alone.root.parent / "dials.py").write_text(DIALS)
        port = here.getsockname()[1]
        spec = alone.spec(command=f"python3 -c '{DIALS}' 127.0.0.1:{port} 192.0.2.1:80 localhost:{port}; exec sleep 99")
        await alone.target.start(spec)
        log = alone.root / "r1-0" / "service.log"
        await until(lambda: f"localhost:{port}" in log.read_text(), "it has tried")
    said = log.read_text()
    assert f"127.0.0.1:{port} ConnectionRefusedError" in said
    assert f"localhost:{port} ConnectionRefusedError" in said
    assert "192.0.2.1:80 OSError" in said  # unreachable


async def test_a_way_out_has_the_port_and_the_address_that_were_given_also_a_low_one(alone: Service) -> None:
    folder = alone.sockets.with_name("ways out")
    folder.mkdir()

    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read()).upper())
        writer.close()

    forwards = (Forward("127.1.0.1", 443, folder / "one.sock"), Forward("127.1.0.2", 5432, folder / "one.sock"))
    async with await asyncio.start_unix_server(shout, folder / "one.sock"):
        command = f"python3 -c '{DIALS}' 127.1.0.1:443 127.1.0.2:5432 127.1.0.3:443; exec sleep 99"
        await alone.target.start(alone.spec(command=command, forwards=forwards))
        log = alone.root / "r1-0" / "service.log"
        await until(lambda: "127.1.0.3" in log.read_text(), "it has tried")
    said = log.read_text()
    assert "127.1.0.1:443 HELLO" in said
    assert "127.1.0.2:5432 HELLO" in said
    assert "127.1.0.3:443 ConnectionRefusedError" in said
    status = await alone.target.inspect("r1-0")
    assert (status.listens_elsewhere, status.unreachable_at) == ((), ())  # the bridge is not the service


async def test_a_command_that_runs_once_has_a_network_of_its_own_too(alone: Service) -> None:
    with socket.create_server(("127.0.0.1", 0)) as here:
        port = here.getsockname()[1]
        await alone.target.run_command(alone.spec("r1-x", command=f"python3 -c '{DIALS}' 127.0.0.1:{port}"), 60)
        async with asyncio.timeout(60):
            while not (await alone.target.command("r1-x")).ended:  # noqa: ASYNC110 - polled
                await asyncio.sleep(0.05)
    assert b"ConnectionRefusedError" in await alone.target.command_output("r1-x", 0)
    await alone.target.end_command("r1-x")


async def test_from_the_hosts_network_into_its_own_with_the_next_start(sharing: Service) -> None:
    """The operator has turned trusted code off."""
    before = await sharing.listening(sharing.spec())
    await sharing.target.pause()
    target = ProcessTarget(sharing.root, sharing.target._artifacts, trusted_code=False, sockets=sharing.sockets)
    after = await target.start(sharing.spec())
    service = Service(target, sharing.root, sharing.digest, sharing.sockets)
    assert (before.address, after.address) == ("127.0.0.1", str(sharing.sockets / "r1-0"))
    ask(await service.seen("r1-0", "listening"))


async def test_long_names_and_folders(alone: Service, tmp_path: Path) -> None:
    long = await alone.listening(alone.spec("r1-" + "x" * 120))
    assert len(long.address) < 107
    ask(long)
    deep = tmp_path / ("y" * 100)
    target = ProcessTarget(alone.root, alone.target._artifacts, trusted_code=False, sockets=deep)
    with pytest.raises(TerminalError, match="set DELIVERY_RUNTIME_DIR to a shorter folder") as caught:
        await target.start(alone.spec("r2-0"))
    assert caught.value.code is ErrorCode.BUILD_ISOLATION_UNAVAILABLE


async def test_a_folder_of_sockets_that_anybody_may_enter_is_refused(alone: Service) -> None:
    alone.sockets.mkdir(mode=0o755)
    with pytest.raises(TerminalError, match="everybody on this machine may enter"):
        await alone.target.start(alone.spec())


async def test_without_a_compiler_nothing_isolated_is_started_and_the_advice_is_clear(
    alone: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bridge_program, "path", lambda: tmp_path / "none")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    bridge_program.program.cache_clear()
    network.available.cache_clear()
    try:
        with pytest.raises(TerminalError, match="install a C compiler and run `make setup`") as caught:
            await alone.target.start(alone.spec())
    finally:
        bridge_program.program.cache_clear()
        network.available.cache_clear()
    assert caught.value.code is ErrorCode.BUILD_ISOLATION_UNAVAILABLE


def _name(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


async def test_a_service_does_not_take_over_its_neighbours_users_also_after_restarts(alone: Service) -> None:
    """It waits on every port that it can have for the neighbour's to come free."""
    greed = "import socket,time; held=[socket.create_server(('', p)) for p in range(8000, 8300) if p != 8080]"
    greedy = f'python3 -c "{greed}; print(len(held), flush=True); time.sleep(999)" & exec python3 service.py'
    await alone.listening(alone.spec("greedy-0", command=greedy, env={"WHO": "greedy"}))
    await until(lambda: "299" in (alone.root / "greedy-0" / "service.log").read_text(), "it has the ports")
    before = await alone.listening(alone.spec(env={"WHO": "neighbour"}))
    assert ask(before)["env"]["WHO"] == "neighbour"
    for restarts in (1, 2):
        assert before.pid is not None
        os.kill(client.tree(before.pid)[-1], signal.SIGKILL)
        async with asyncio.timeout(60):
            while (await alone.target.inspect("r1-0")).restarts < restarts:
                assert _who(before) in (None, "neighbour")
                await asyncio.sleep(0.02)
        before = await alone.seen("r1-0", "listening")
        assert ask(before)["env"]["WHO"] == "neighbour"
    await alone.target.stop("r1-0")
    assert _who(before) is None


def _who(status: InstanceStatus) -> str | None:
    """Who answers; None: nobody does."""
    try:
        return str(ask(status)["env"]["WHO"])
    except (OSError, http.client.HTTPException, KeyError, TypeError):
        return None


async def test_instances_that_do_not_listen_yet_cost_little_to_ask(
    alone: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[Sequence[int]] = []

    class Counted(listeners.OwnNetwork):
        def __init__(self, inside: Sequence[int]) -> None:
            looked.append(inside)
            super().__init__(inside)

    monkeypatch.setattr(listeners, "OwnNetwork", Counted)
    monkeypatch.setattr(listeners, "_STALE_S", 3600.0)  # what was seen is good for two seconds
    await alone.target.start(
        alone.spec(command="touch $TMPDIR/begun; until test -e $TMPDIR/go; do sleep 0.1; done; exec python3 service.py")
    )
    await alone.seen("r1-0", "phase", InstancePhase.RUNNING)
    # Until then it may be on its way into its network.
    while not (alone.root / "r1-0" / "tmp" / "begun").exists():  # noqa: ASYNC110 - polled
        await asyncio.sleep(0.01)
    looked.clear()
    for _ in range(50):
        assert not (await alone.target.inspect("r1-0")).listening
    assert len(looked) <= 3
    (alone.root / "r1-0" / "tmp" / "go").touch()
    ask(await alone.seen("r1-0", "listening"))  # the number of its sockets has changed
