"""The supervisor on real PostgreSQL and Temporal, from a folder with a space in its name."""

import os
import pty
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from runtime.settings import ROOT, Settings
from runtime.stack import binaries
from runtime.stack.layout import Layout
from runtime.stack.postgres import Postgres
from tests.runtime.stack.stack_process import PATIENCE_S, StackProcess, alive, until
from tests.support.freezing import freeze


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[StackProcess]:
    made = StackProcess(tmp_path / "my data")
    yield made
    sockets = Layout.make(Settings(data_dir=made.data)).sockets
    made.close()
    assert not sockets.exists()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    """One that is up, for all who only look."""
    made = StackProcess(tmp_path_factory.mktemp("up") / "my data")
    try:
        made.up()
        yield made
    finally:
        made.close()


def connect(stack: StackProcess) -> psycopg.Connection:
    layout = Layout.make(Settings(data_dir=stack.data))
    server = Postgres(
        binaries.postgres_dir(Settings()), layout.data, layout.sockets, layout.secrets, layout.log("postgres")
    )
    return psycopg.connect(server.url().replace("+psycopg", ""), autocommit=True, connect_timeout=3)


def test_starts_keeps_state_and_ports_and_stops_cleanly(stack: StackProcess):
    addresses = stack.up()
    metrics = {"api_metrics", "worker_metrics"}
    assert set(addresses) == {"api", "docs", "temporal_ui", "temporal", "ingress"} | metrics
    with connect(stack) as connection:
        connection.execute("CREATE TABLE kept (id int)")
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
        assert connection.execute("SHOW fsync").fetchone() == ("on",)
    pids = stack.pids()
    assert set(pids) == {"postgres", "temporal"}
    assert stack.end(signal.SIGINT) == 0
    assert not any(alive(pid) for pid in pids.values())
    assert not stack.ready.exists()
    assert stack.run("status").returncode == 3

    assert stack.up() == addresses
    with connect(stack) as connection:
        connection.execute("SELECT id FROM kept")
    assert stack.end(signal.SIGTERM) == 0


@pytest.mark.parametrize("name", ["postgres", pytest.param("temporal", marks=pytest.mark.deep)])
def test_a_killed_part_is_started_again(stack: StackProcess, name: str):
    stack.up()
    before = stack.pids()
    os.kill(before[name], signal.SIGKILL)
    until(lambda: stack.pids().get(name, before[name]) != before[name])
    after = stack.pids()
    other = ({"postgres", "temporal"} - {name}).pop()
    assert after[other] == before[other]
    if name == "postgres":
        until(lambda: reachable(stack))
    assert "part.died" in (stack.data / "logs" / "supervisor.log").read_text()


@contextmanager
def frozen_backend(stack: StackProcess) -> Iterator[int]:
    """A process of the server that serves a connection, and notices nothing any more."""
    with connect(stack) as connection:
        pid = connection.info.backend_pid if in_our_namespace(connection) else 0
        assert pid, "the backend's pid is not one of this machine"
        freeze(pid)
        try:
            yield pid
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            connection.close()


def in_our_namespace(connection: psycopg.Connection) -> bool:
    return Path(f"/proc/{connection.info.backend_pid}/comm").read_text().strip() == "postgres"


@pytest.mark.deep
def test_postgres_comes_back_beside_a_frozen_child_of_the_dead_server(stack: StackProcess):
    """It keeps the shared memory of the dead server, beside which PostgreSQL refuses to start."""
    stack.up(only="postgres")
    before = stack.pids()["postgres"]
    with frozen_backend(stack) as backend:
        os.kill(before, signal.SIGKILL)
        until(lambda: stack.pids().get("postgres", before) != before and reachable(stack))
        assert not alive(backend)
    assert "part.remains.ended" in (stack.data / "logs" / "supervisor.log").read_text()


@pytest.mark.deep
def test_a_start_ends_the_frozen_child_of_a_server_that_died_with_its_supervisor(stack: StackProcess):
    stack.up(only="postgres")
    before = stack.pids()["postgres"]
    with frozen_backend(stack) as backend:
        stack.end(signal.SIGKILL)
        os.kill(before, signal.SIGKILL)
        until(lambda: not alive(before))
        assert alive(backend)
        stack.up(only="postgres")
        assert not alive(backend)
    assert reachable(stack)


@pytest.mark.deep
def test_down_ends_the_frozen_child_of_a_dead_server(stack: StackProcess):
    stack.up(only="postgres")
    before = stack.pids()["postgres"]
    with frozen_backend(stack) as backend:
        stack.end(signal.SIGKILL)
        os.kill(before, signal.SIGKILL)
        until(lambda: not alive(before))
        assert stack.run("down").returncode == 0
        assert not alive(backend)


@pytest.mark.deep
def test_an_orderly_stop_ends_a_frozen_child_too(stack: StackProcess):
    stack.up(only="postgres")
    with frozen_backend(stack) as backend:
        assert stack.end(signal.SIGTERM) == 0
        assert not alive(backend)


@pytest.mark.deep
def test_another_postgres_of_this_machine_is_left_alone(stack: StackProcess, postgres: Postgres):
    stack.up(only="postgres")
    before = stack.pids()["postgres"]
    os.kill(before, signal.SIGKILL)
    until(lambda: stack.pids().get("postgres", before) != before and reachable(stack))
    with psycopg.connect(postgres.admin_url().replace("+psycopg", ""), connect_timeout=60) as other:
        assert other.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.deep
def test_a_part_that_nobody_recorded_is_ended(stack: StackProcess):
    """A supervisor that died between the start and the record of it."""
    stack.up(only="temporal")
    before = stack.pids()["temporal"]
    stack.end(signal.SIGKILL)
    (stack.data / "run" / "parts" / "temporal.json").unlink()
    stack.up(only="temporal")
    assert not alive(before)


def reachable(stack: StackProcess) -> bool:
    try:
        connect(stack).close()
    except psycopg.OperationalError:
        return False
    return True


def test_a_second_up_on_the_same_folder_is_refused(running: StackProcess):
    before = running.pids()
    refused = running.run("up")
    assert refused.returncode == 1
    assert "already runs" in refused.stderr
    assert "make down" in refused.stderr
    assert running.pids() == before
    assert len(before) == 2


@pytest.mark.deep
def test_parts_of_a_killed_supervisor_are_adopted(stack: StackProcess):
    addresses = stack.up()
    before = stack.pids()
    stack.end(signal.SIGKILL)
    assert all(alive(pid) for pid in before.values())
    assert stack.up() == addresses
    assert stack.pids() == before
    os.kill(before["temporal"], signal.SIGKILL)
    until(lambda: stack.pids().get("temporal", before["temporal"]) != before["temporal"])
    assert stack.end(signal.SIGINT) == 0
    assert not alive(before["postgres"])


@pytest.mark.deep
def test_down_ends_what_a_killed_supervisor_left(stack: StackProcess):
    stack.up()
    before = stack.pids()
    stack.end(signal.SIGKILL)
    done = stack.run("down")
    assert done.returncode == 0
    assert "ended what a killed supervisor left" in done.stdout
    assert not any(alive(pid) for pid in before.values())


@pytest.mark.deep
def test_a_server_without_a_record_is_stopped_not_doubled(stack: StackProcess):
    stack.up(only="postgres")
    before = stack.pids()["postgres"]
    stack.end(signal.SIGKILL)
    (stack.data / "run" / "parts" / "postgres.json").unlink()
    stack.up(only="postgres")
    assert not alive(before)
    assert stack.pids()["postgres"] != before


def test_secrets_and_sockets_are_private(running: StackProcess):
    layout = Layout.make(Settings(data_dir=running.data))
    assert stat.S_IMODE(layout.sockets.stat().st_mode) == 0o700
    assert stat.S_IMODE(layout.secrets.stat().st_mode) == 0o700
    files = list(layout.secrets.iterdir())
    assert {file.name for file in files} == {"postgres.password", "delivery.password", "jwt.pem", "encryption.keys"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    passwords = [file.read_text() for file in files if file.suffix == ".password"]
    commands = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    assert not any(secret in commands for secret in passwords)


def test_a_part_that_cannot_start_is_named_with_its_log(stack: StackProcess, tmp_path: Path):
    broken = tmp_path / "temporal"
    broken.write_text("#!/bin/sh\necho the disk is on fire >&2\nexit 3\n")
    broken.chmod(0o755)
    failing = StackProcess(stack.data, DELIVERY_TEMPORAL_BINARY=str(broken))
    done = failing.run("up", "--only", "temporal")
    assert done.returncode == 1
    assert "temporal did not come up: it exited with code 3" in done.stderr
    assert "the disk is on fire" in done.stderr
    assert stack.run("status").returncode == 3


def test_a_token_is_printed_once_the_stack_made_its_key(running: StackProcess, tmp_path: Path):
    early = StackProcess(tmp_path / "my data").run("token")
    assert early.returncode == 1
    assert "make up" in early.stderr
    assert running.run("token", "--role", "developer").stdout.count(".") == 2
    assert "known are viewer" in running.run("token", "--role", "king").stderr


def test_a_wrong_setting_is_named(tmp_path: Path):
    done = StackProcess(tmp_path / "x", DELIVERY_API_PORT="eighty").run("up")
    assert done.returncode == 1
    assert "DELIVERY_API_PORT" in done.stderr


@pytest.mark.deep
def test_the_admins_password_is_shown_on_request_and_stored_nowhere(stack: StackProcess):
    parts = "postgres,migrations,bootstrap"
    stack.up(only=parts)
    # This output is kept in a file, so it holds no password.
    assert "make admin-password" in stack.output.read_text()
    assert "with the password" not in stack.output.read_text()
    again = stack.run("admin-password")
    assert again.returncode == 0, again.stderr
    password = password_in(again.stdout)
    files = [path for path in stack.data.rglob("*") if path.is_file()]
    assert [path for path in files if password.encode() in path.read_bytes()] == []
    assert stack.data / "logs" / "bootstrap.log" in files
    by_hand = reset_by_hand(stack)
    assert password_in(by_hand.stdout) != password
    assert stack.end(signal.SIGTERM) == 0
    by_hand = reset_by_hand(stack)
    assert (by_hand.returncode, by_hand.stdout) == (2, "")
    assert f"the embedded stack on {stack.data} is not up; start it with `make up`" in by_hand.stderr
    assert "no stack runs" in stack.run("admin-password").stderr
    stack.up(only=parts)
    assert "password" not in stack.output.read_text()


@pytest.mark.deep
def test_on_a_terminal_the_first_start_tells_the_admins_password(stack: StackProcess):
    screen, terminal = pty.openpty()
    only = {"DELIVERY_DATA_DIR": str(stack.data)}
    command = [sys.executable, "-m", "runtime.stack", "up", "--only", "postgres,migrations,bootstrap"]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **only}, stdout=terminal, stderr=terminal)
    os.close(terminal)
    shown = b""
    while b"ready after" not in shown:
        shown += os.read(screen, 4096)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0
    os.close(screen)
    assert password_in(shown.decode())


def reset_by_hand(stack: StackProcess) -> subprocess.CompletedProcess[str]:
    """As the other commands of administrators it finds the stack's database by the data folder."""
    command = [sys.executable, "-m", "api.cli", "bootstrap-admin", "reset"]
    only = {"DELIVERY_DATA_DIR": str(stack.data)}
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **only}, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


def password_in(output: str) -> str:
    return output.split("platform admin admin@delivery.localhost with the password ")[1].split(maxsplit=1)[0]
