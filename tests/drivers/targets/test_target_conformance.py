"""What every target must do, with and without isolation."""

import asyncio
import contextlib
import errno
import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.errors import CallerError, ErrorCode, TerminalError
from drivers import sandbox
from drivers.artifacts.folder import FolderArtifactStore
from drivers.clean_env import CERTIFICATES
from drivers.sandbox import APP
from drivers.shim import client, proc
from drivers.targets.base import InstancePhase
from drivers.targets.process import ProcessTarget
from tests.drivers.shim.helpers import DAEMON, marker, running, said, until, worker
from tests.drivers.targets.service import Service, ask, dial

# Besides what the repository gives.
ALWAYS = {"PATH", "HOME", "TMPDIR", "LANG", "PIP_BREAK_SYSTEM_PACKAGES", "NPM_CONFIG_PREFIX", "GEM_HOME"}
ALWAYS |= set(CERTIFICATES) & os.environ.keys()


async def test_an_instance_serves_on_the_port_it_was_given(service: Service) -> None:
    status = await service.listening(service.spec(env={"COLOUR": "blue"}))
    assert (status.phase, status.release_id, status.restarts, status.exit_code) == (
        InstancePhase.RUNNING,
        "r1",
        0,
        None,
    )
    answer = ask(status)
    assert answer["env"]["COLOUR"] == "blue"
    assert answer["cwd"] == APP
    assert "serving" in await service.target.log_tail("r1-0")


async def test_the_environment_is_bare(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED_SECRET", "planted")
    status = await service.listening(service.spec(env={"PORT": "1", "TOKEN": "secret-of-the-service"}))
    env = ask(status)["env"]
    assert set(env) - {"PWD", "LC_CTYPE", "DELIVERY_SHIM"} == {*ALWAYS, "PORT", "TOKEN"}
    assert env["PORT"] == str(status.port)
    files = [path for path in (service.root / "r1-0").rglob("*") if path.is_file()]
    assert not any(b"secret-of-the-service" in path.read_bytes() for path in files)


async def test_a_secret_is_in_the_services_environment_alone_also_when_it_was_started_again(service: Service) -> None:
    early = {"HOSTALIASES": "p1anted-for-service", "GLIBC_TUNABLES": "p1anted-for-service"}  # stored by older versions
    secrets = {"TOKEN": "p1anted-for-service", **early}
    status = await service.listening(service.spec(env={"TOKEN": "default"}, secrets=secrets))
    assert ask(status)["env"]["TOKEN"] == "p1anted-for-service"
    os.kill(status.pid, signal.SIGKILL)
    await service.restarted()
    again = await service.seen("r1-0", "listening")
    assert {ask(again)["env"][name] for name in secrets} == {"p1anted-for-service"}
    files = [path for path in service.root.rglob("*") if path.is_file()]
    assert not any(b"p1anted-for-service" in path.read_bytes() for path in files)
    shim = client.status(service.root / "r1-0" / "shim").shim_pid
    shown = [Path(f"/proc/{shim}/environ"), *(Path(f"/proc/{pid}/cmdline") for pid in (shim, *proc.descendants(shim)))]
    assert len(shown) > 2
    assert not any(b"p1anted-for-service" in path.read_bytes() for path in shown)


async def test_starting_twice_is_starting_once(service: Service) -> None:
    spec = service.spec()
    both = await asyncio.gather(service.target.start(spec), service.target.start(spec))
    first = await service.seen("r1-0", "listening")
    again = await service.target.start(spec)
    assert {first.port, again.port, *(each.port for each in both)} == {first.port}
    assert again.pid == first.pid


async def test_stop_asks_politely_and_leaves_nothing(service: Service) -> None:
    """The service writes a file when asked; a link outside of its folder keeps the log for us to see."""
    status = await service.listening(service.spec())
    log = service.root / "r1-0" / "service.log"
    kept = service.root.parent / "kept.log"
    kept.hardlink_to(log)
    await service.target.stop("r1-0")
    assert "asked to leave" in kept.read_text()
    assert not (service.root / "r1-0").exists()
    with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
        dial(status)
    assert (await service.target.inspect("r1-0")).phase is InstancePhase.ABSENT
    await service.target.stop("r1-0")


async def test_stop_ends_daemons_and_the_deaf(service: Service) -> None:
    mark = marker()
    command = f"trap '' TERM; {DAEMON.format(mark=mark)}; sleep {mark}; sleep {mark}"
    await service.target.start(service.spec(command=command, stop_timeout_s=0.2))
    await until(lambda: len(running(mark)) == 3, "all run")
    await service.target.stop("r1-0")
    assert running(mark) == []


async def test_many_instances_have_ports_and_folders_of_their_own(service: Service) -> None:
    specs = [service.spec(name) for name in ("r1-0", "r1-1", "r2-0", "r2-1")]
    started = await asyncio.gather(*(service.target.start(spec) for spec in specs))
    assert len({(status.address, status.port) for status in started}) == 4
    await asyncio.gather(*(service.seen(spec.instance_id, "listening") for spec in specs))
    listed = await service.target.list_instances()
    assert [(each.instance_id, each.release_id) for each in listed] == [
        ("r1-0", "r1"),
        ("r1-1", "r1"),
        ("r2-0", "r2"),
        ("r2-1", "r2"),
    ]
    await service.target.stop("r1-0")
    assert len(await service.target.list_instances()) == 3


async def test_one_that_does_not_listen_has_no_port_and_is_kept_alive_all_the_same(service: Service) -> None:
    command = 'echo "port ${PORT-none}"; sleep 1000'
    spec = service.spec("r1-worker-0", command=command, listens=False)
    status = await service.target.start(spec)
    assert (status.release_id, status.port) == ("r1", 0)
    await service.seen("r1-worker-0", "phase", InstancePhase.RUNNING)
    await until(lambda: "port none" in (service.root / "r1-worker-0" / "service.log").read_text(), "it speaks")
    await service.target.start(service.spec())
    pid = (await service.seen("r1-worker-0", "phase", InstancePhase.RUNNING)).pid
    assert pid is not None
    os.kill(client.tree(pid)[-1], signal.SIGKILL)
    status = await service.restarted("r1-worker-0")
    assert not status.port_taken
    assert await service.target.pause() == 2
    status = await service.target.start(spec)
    assert (status.port, (await service.seen("r1-0", "phase", InstancePhase.STOPPED)).port > 0) == (0, True)


async def test_a_service_that_listens_elsewhere_is_seen(service: Service) -> None:
    spec = service.spec(env={"OFFSET": "1"})
    port = (await service.target.start(spec)).port
    status = await service.seen("r1-0", "listens_elsewhere", (port + 1,))
    assert not status.listening


async def test_a_service_on_an_address_that_nobody_dials_is_seen(service: Service) -> None:
    code = "import os, socket, time; s = socket.create_server(('127.0.0.7', int(os.environ['PORT']))); time.sleep(1000)"
    await service.target.start(service.spec(command=f'python3 -c "{code}"'))
    status = await service.seen("r1-0", "unreachable_at", ("127.0.0.7",))
    assert not status.listening


async def test_a_stranger_on_the_port_is_not_taken_for_the_instance(service: Service) -> None:
    port = (await service.target.start(service.spec(command="sleep 1000"))).port
    with on_the_host(port):
        assert not (await service.target.inspect("r1-0")).listening


async def test_a_stranger_beside_the_instance_is_reported_and_left_behind(sharing: Service) -> None:
    service = sharing
    before = await service.target.start(service.spec(command="sleep 1000"))
    assert not before.port_taken
    with socket.create_server(("127.0.0.1", before.port)):
        await service.seen("r1-0", "port_taken")
        assert [each.port_taken for each in await service.target.list_instances()] == [True]
        after = await service.target.relocate(service.spec(), port=before.port)
        assert after.port != before.port
        listening = await service.seen("r1-0", "listening")
        assert (listening.port, listening.port_taken) == (after.port, False)
        ask(after)


async def test_an_instance_is_not_started_again_onto_a_port_that_a_stranger_has_by_now(sharing: Service) -> None:
    service = sharing
    before = await service.listening(service.spec())
    shim = client.status(service.root / "r1-0" / "shim").shim_pid
    assert shim is not None
    os.kill(shim, signal.SIGKILL)
    gone = await service.seen("r1-0", "phase", InstancePhase.STOPPED)
    assert gone.gone
    await client.end_leftovers(service.root / "r1-0" / "shim")
    with socket.create_server(("127.0.0.1", before.port)):
        assert (await service.target.inspect("r1-0")).port_taken
        after = await service.listening(service.spec())
        assert after.port != before.port


async def test_while_a_crashed_instance_waits_nobody_gets_its_port(sharing: Service) -> None:
    """Strangers that set SO_REUSEADDR, as servers do, included."""
    service = sharing
    await service.target.start(service.spec(command="sleep 0.2; exit 1"))
    for _ in range(3):  # its pauses grow: 0.5, 1, 2 s
        status = await service.seen("r1-0", "phase", InstancePhase.BACKOFF)
        async with asyncio.timeout(120):  # the pause begins a moment before the port is held, and may be over by now
            while not is_refused(status.port):  # noqa: ASYNC110 - polled
                await asyncio.sleep(0.01)
        await service.seen("r1-0", "phase", InstancePhase.RUNNING)
    assert not (await service.target.inspect("r1-0")).port_taken


@contextlib.contextmanager
def on_the_host(port: int) -> Iterator[None]:
    """Somebody listens there; it may be the engine's own API, and somebody else then."""
    try:
        with socket.create_server(("127.0.0.1", port)):
            yield
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        yield


def is_refused(port: int) -> bool:
    """Whether a stranger cannot listen there."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False


async def test_what_a_daemon_of_the_service_listens_on_is_no_strangers(service: Service) -> None:
    status = await service.target.start(service.spec(command="setsid python3 service.py & exec sleep 1000"))
    assert not (await service.seen("r1-0", "listening")).port_taken
    assert status.running_s is None or status.running_s < 60


async def test_all_addresses_count_as_listening(service: Service) -> None:
    await service.listening(service.spec(env={"ADDRESS": ""}))


async def test_a_crash_loop_is_visible(service: Service) -> None:
    await service.target.start(service.spec(command="echo dying; exit 3"))
    status = await service.restarted()
    status = await service.seen("r1-0", "phase", InstancePhase.BACKOFF)
    assert (status.exit_code, status.listening, status.pid) == (3, False, None)
    assert "dying" in await service.target.log_tail("r1-0")


async def test_a_killed_process_is_started_again_on_its_port(service: Service) -> None:
    before = await service.listening(service.spec())
    assert before.pid is not None
    os.kill(client.tree(before.pid)[-1], signal.SIGKILL)
    await service.restarted()
    after = await service.seen("r1-0", "listening")
    assert (after.address, after.port, after.exit_code) == (before.address, before.port, 137)


async def test_a_killed_shim_is_stopped_until_started_again_on_its_port(service: Service) -> None:
    before = await service.listening(service.spec())
    shim = client.status(service.root / "r1-0" / "shim").shim_pid
    assert shim is not None
    os.kill(shim, signal.SIGKILL)
    await service.seen("r1-0", "phase", InstancePhase.STOPPED)
    after = await service.listening(service.spec())
    assert (after.address, after.port) == (before.address, before.port)
    assert after.pid != before.pid


ENGINE = """
import asyncio, json, sys
from pathlib import Path
from drivers.artifacts.folder import FolderArtifactStore
from drivers.targets.base import InstanceSpec
from drivers.targets.process import ProcessTarget
root, trusted, digest = Path(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3]
store = FolderArtifactStore(root / "artifacts")
sockets = Path(sys.argv[4])
target = ProcessTarget(root / "instances", store, trusted_code=trusted, hidden=(root,), sockets=sockets)
asyncio.run(target.start(InstanceSpec("r1-0", "r1", digest, "python3 service.py")))
print("up", flush=True)
input()
"""


async def test_a_killed_engine_leaves_the_service_serving_for_the_next(service: Service) -> None:
    trusted = json.dumps(not service.target._isolated)
    with worker(ENGINE, str(service.root.parent), trusted, service.digest, str(service.sockets)) as engine:
        assert await said(engine) == "up"
    status = await service.listening(service.spec())
    assert status.restarts == 0
    ask(status)


async def test_bad_requests_are_refused(service: Service, tmp_path: Path) -> None:
    with pytest.raises(TerminalError) as caught:
        await service.target.start(service.spec(artifact_digest="sha256:" + "0" * 64))
    assert caught.value.code is ErrorCode.ARTIFACT_UNAVAILABLE
    for name in ("../r1-0", ".hidden", "", "a/b"):
        with pytest.raises(CallerError):
            await service.target.stop(name)


async def test_ports_run_out(service: Service) -> None:
    target = ProcessTarget(
        service.root,
        FolderArtifactStore(service.root.parent / "artifacts"),
        trusted_code=True,
        ports=range(20001, 20002),
    )
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 20001))
        taken.listen()
        with pytest.raises(TerminalError) as caught:
            await target.start(service.spec())
    assert caught.value.code is ErrorCode.NO_FREE_PORT


async def test_isolated_instances_see_neither_each_other_nor_the_engine(service: Service) -> None:
    await service.listening(service.spec())
    write = "touch x && echo writable; touch $HOME/x $TMPDIR/x && echo looked"
    look = f"ls '{service.root}' '{service.root.parent}'; {write}; exec sleep 1000"
    await service.target.start(service.spec("r2-0", command=look))
    await until(lambda: "looked" in (service.root / "r2-0" / "service.log").read_text(), "it has looked")
    seen = await service.target.log_tail("r2-0")
    assert [name in seen.splitlines() for name in ("r1-0", "r2-0", "artifacts", "writable")] == [
        not service.target._isolated
    ] * 4


async def test_untrusted_code_never_runs_without_isolation(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "available", lambda: False)
    if service.target._isolated:
        with pytest.raises(TerminalError) as caught:
            await service.target.start(service.spec())
        assert caught.value.code is ErrorCode.BUILD_ISOLATION_UNAVAILABLE
    else:
        await service.listening(service.spec())
