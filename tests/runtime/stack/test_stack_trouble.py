"""The stack on an unkind machine: full and read-only disks, taken ports, cleared folders, bad moments."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from domain.errors import DependencyError
from runtime.settings import ROOT, Settings
from runtime.stack import open_files, ports, remains
from runtime.stack.layout import Layout, private_folder
from tests.runtime.stack.stack_process import PATIENCE_S, StackProcess, until
from tests.runtime.stack.test_stack import connect, reachable

pytestmark = pytest.mark.deep


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[StackProcess]:
    made = StackProcess(tmp_path / "data")
    yield made
    made.close()


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    """A small disk; skips, and says so, where nothing may be mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", ",".join(("mode=0700", *options)), "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=120)


def marked(stack: StackProcess) -> list[int]:
    """Whatever of the stack is left on the machine, recorded or not."""
    layout = Layout.make(Settings(data_dir=stack.data))
    names = ("postgres", "temporal", "migrations", "bootstrap")
    wanted = {layout.mark(name) for name in names}
    return [process.pid for process in remains.found(lambda one: one.environ().get(remains.MARK) in wanted)]


def test_a_read_only_data_folder_is_named_with_what_to_do(stack: StackProcess):
    with mounted(stack.data):
        Layout.make(Settings(data_dir=stack.data))
        subprocess.run(["mount", "-o", "remount,ro", str(stack.data)], check=True, timeout=120)
        done = stack.run("up")
    assert done.returncode == 1
    assert f"the data folder {stack.data} cannot be used: Read-only file system" in done.stderr
    assert "mount it writable" in done.stderr
    assert "DELIVERY_DATA_DIR" in done.stderr


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    done = StackProcess(tmp_path / "file" / "data").run("up")
    assert done.returncode == 1
    assert "a part of its path is a file" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_full_disk_at_the_start_is_named(stack: StackProcess):
    with mounted(stack.data, "size=256k"):
        Layout.make(Settings(data_dir=stack.data))
        with pytest.raises(OSError, match="No space"):
            (stack.data / "filler").write_bytes(b"x" * 1_000_000)
        done = stack.run("up")
    assert done.returncode == 1
    assert "its disk is full: free some space" in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_of_somebody_else_is_named(stack: StackProcess):
    Layout.make(Settings(data_dir=stack.data))
    (stack.data / "logs").chmod(0o500)
    done = stack.run("up")
    (stack.data / "logs").chmod(0o700)
    assert done.returncode == 1
    assert "this user may not write there" in done.stderr


def test_a_cleared_folder_of_sockets_is_made_again(stack: StackProcess):
    """Somebody emptied /tmp: the server runs, and nobody reaches it any more."""
    stack.up(only="postgres")
    sockets = Layout.make(Settings(data_dir=stack.data)).sockets
    shutil.rmtree(sockets)
    until(lambda: (sockets / "pg" / ".s.PGSQL.5432").exists() and reachable(stack))
    assert "part.sockets.lost" in (stack.data / "logs" / "supervisor.log").read_text()


def test_a_folder_of_sockets_that_somebody_else_made_meanwhile_is_not_used(tmp_path: Path):
    layout = Layout.make(Settings(data_dir=tmp_path / "a"))
    layout.sockets.rmdir()
    layout.sockets.symlink_to(tmp_path)
    try:
        with pytest.raises(DependencyError, match="belongs to somebody else"):
            private_folder(layout.sockets)
    finally:
        layout.sockets.unlink()


@pytest.mark.deep
def test_a_port_taken_while_its_part_was_down_is_reported_and_waited_for(stack: StackProcess):
    addresses = stack.up(only="temporal")
    port = int(addresses["temporal"].rpartition(":")[2])
    before = stack.pids()["temporal"]
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stack.signal(signal.SIGSTOP)
        os.kill(before, signal.SIGKILL)
        until(lambda: ports.is_free(port))
        stranger.bind(("127.0.0.1", port))
        stranger.listen()
        stack.signal(signal.SIGCONT)
        until(lambda: f"process {os.getpid()} " in stack.output.read_text())
        assert f"has taken its port {port}" in stack.output.read_text()
        assert "temporal" not in stack.pids()
    until(lambda: "temporal" in stack.pids())
    assert stack.pids()["temporal"] != before


def test_two_starts_at_once_make_one_stack(stack: StackProcess):
    other = StackProcess(stack.data)
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "runtime.stack", "up", "--only", "postgres"],
            cwd=ROOT,
            env={**os.environ, "DELIVERY_DATA_DIR": str(stack.data)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    try:
        until(lambda: any(one.poll() is not None for one in both))
        loser, winner = sorted(both, key=lambda one: one.poll() is None)
        assert loser.returncode == 1
        assert "already runs" in (loser.stdout.read() if loser.stdout else "")
        until(lambda: "postgres" in other.pids() and reachable(stack))
        assert winner.poll() is None
    finally:
        for one in both:
            if one.poll() is None:
                one.terminate()
            one.communicate(timeout=PATIENCE_S)
    assert marked(stack) == []


def test_looking_never_makes_a_running_stack_forget_its_parts(tmp_path: Path):
    """`status` once rewrote the file that says whose folder it is; who read half of it took the folder for a copy."""
    settings = Settings(data_dir=tmp_path / "a")
    layout = Layout.make(settings)
    record, home = layout.record("postgres"), layout.run / "home.json"
    record.write_text("{}")
    before = home.stat()
    Layout.make(settings)
    assert (home.stat().st_ino, home.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    stop = threading.Event()
    moves = [threading.Thread(target=_make_often, args=(settings, stop)) for _ in range(2)]
    for each in moves:
        each.start()
    try:
        for _ in range(100):
            Layout.make(settings)
            assert record.exists()
    finally:
        stop.set()
        for each in moves:
            each.join()
        layout.sockets.rmdir()


def _make_often(settings: Settings, stop: threading.Event) -> None:
    while not stop.is_set():
        Layout.make(settings)


MOMENTS = ["postgres   starting", "postgres   ready", "migrations running"]


@pytest.mark.parametrize("how", ["SIGTERM", pytest.param("down", marks=pytest.mark.deep)])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_stop_in_the_middle_of_a_start_leaves_nothing(stack: StackProcess, moment: str, how: str):
    stack.begin(only="postgres,temporal,migrations")
    until(lambda: moment in stack.output.read_text())
    if how == "down":
        done = stack.run("down")
        assert done.returncode == 0, done.stderr
    else:
        stack.signal(signal.SIGTERM)
    assert stack.wait() == 0, stack.output.read_text()
    assert marked(stack) == []
    assert stack.run("status").returncode == 3
    stack.up(only="postgres")
    assert reachable(stack)


@pytest.mark.deep
def test_a_moved_folder_keeps_what_is_in_it(stack: StackProcess, tmp_path: Path):
    stack.up()
    with connect(stack) as connection:
        connection.execute("CREATE TABLE kept (id int)")
    assert stack.end(signal.SIGTERM) == 0
    stack.data.rename(tmp_path / "an other place")
    moved = StackProcess(tmp_path / "an other place")
    try:
        moved.up()
        with connect(moved) as connection:
            connection.execute("SELECT id FROM kept")
    finally:
        moved.close()


def test_the_stack_uses_the_open_files_it_may_have(stack: StackProcess):
    stack.limit = (256, 2048)
    stack.up(only="postgres,temporal")
    limits = Path(f"/proc/{stack.pids()['postgres']}/limits").read_text()
    assert next(line.split()[3] for line in limits.splitlines() if line.startswith("Max open files")) == "2048"
    assert "at most 2048 files" in stack.output.read_text()


def test_too_few_open_files_are_refused_with_what_to_do(stack: StackProcess):
    stack.limit = (open_files.LEAST - 1, open_files.LEAST - 1)
    done = stack.run("up")
    assert done.returncode == 1
    assert f"the stack needs {open_files.LEAST}" in done.stderr
    assert "ulimit -Hn" in done.stderr


@pytest.mark.deep
def test_a_disk_that_fills_up_under_postgres_and_has_room_again(stack: StackProcess):
    """Writes fail with the reason; nothing is lost, and with room again the next write succeeds."""
    Layout.make(Settings(data_dir=stack.data))
    with mounted(stack.data / "postgres.disk", "size=120m"):
        stack.up(only="postgres")
        assert stack.end(signal.SIGTERM) == 0
        shutil.move(stack.data / "postgres", stack.data / "postgres.disk" / "postgres")
        (stack.data / "postgres").symlink_to(stack.data / "postgres.disk" / "postgres")
        stack.up(only="postgres")
        filler = stack.data / "postgres.disk" / "filler"
        with connect(stack) as connection:
            connection.execute("CREATE TABLE kept (id int)")
            connection.execute("INSERT INTO kept VALUES (1)")
        with pytest.raises(OSError, match="No space"):
            filler.write_bytes(b"x" * 200_000_000)
        with pytest.raises(psycopg.Error):
            _fill(stack)
        filler.unlink()
        until(lambda: reachable(stack))
        until(lambda: _writes(stack))
        with connect(stack) as connection:
            assert connection.execute("SELECT min(id) FROM kept").fetchone() == (1,)
        assert stack.end(signal.SIGTERM) == 0


def _fill(stack: StackProcess) -> None:
    with connect(stack) as connection:
        connection.execute("CREATE TABLE big AS SELECT repeat(md5(i::text), 100) FROM generate_series(1, 100000) i")


def _writes(stack: StackProcess) -> bool:
    try:
        with connect(stack) as connection:
            connection.execute("INSERT INTO kept VALUES (2)")
    except psycopg.Error:
        return False
    return True


def _overwritten(path: Path) -> None:
    path.write_bytes(b"not a database " * 10_000)


def _torn(path: Path) -> None:
    """Its first page is whole, the others are not."""
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)


def _emptied(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize(
    "damage",
    [_overwritten, pytest.param(_torn, marks=pytest.mark.deep), pytest.param(_emptied, marks=pytest.mark.deep)],
)
def test_a_damaged_file_of_temporal_is_set_aside_and_reported(stack: StackProcess, damage: Callable[[Path], None]):
    stack.up(only="temporal")
    assert stack.end(signal.SIGTERM) == 0
    database = stack.data / "temporal.db"
    for journal in stack.data.glob("temporal.db-*"):
        journal.unlink()
    damage(database)
    damaged = database.read_bytes()
    stack.up(only="temporal")
    assert "was damaged" in stack.output.read_text()
    assert "ORCHESTRATION_LOST" in stack.output.read_text()
    [aside] = [path for path in stack.data.glob("temporal.db.broken-*") if not path.name.endswith(("-wal", "-shm"))]
    assert aside.read_bytes() == damaged


def test_a_sound_file_of_temporal_stays(stack: StackProcess):
    stack.up(only="temporal")
    assert stack.end(signal.SIGKILL) == -signal.SIGKILL
    os.kill(stack.pids()["temporal"], signal.SIGKILL)
    stack.up(only="temporal")
    assert list(stack.data.glob("temporal.db.broken-*")) == []
