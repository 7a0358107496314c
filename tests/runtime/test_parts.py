"""The small pieces of the supervisor."""

import os
import signal
import socket
import subprocess
from dataclasses import replace
from pathlib import Path

import psutil
import psycopg
import pytest

from domain.errors import DependencyError
from runtime.settings import Settings
from runtime.stack import binaries, logfile, ports, remains
from runtime.stack.identity import Identity
from runtime.stack.layout import Layout
from runtime.stack.lock import HeldError, Lock
from runtime.stack.postgres import Postgres
from runtime.stack.process import Command, Process
from runtime.stack.run_unprivileged import Unroot
from tests.runtime.stack.stack_process import alive, until
from tests.support.freezing import freeze


def test_ports_are_remembered_and_replaced_when_taken(tmp_path: Path):
    path = tmp_path / "ports.json"
    first = ports.choose(path, {})
    assert len(set(first.values())) == len(ports.NAMES)
    assert ports.choose(path, {}) == first
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first["api"]))
        taken.listen()
        second = ports.choose(path, {})
        assert second["api"] != first["api"]
        assert second["temporal"] == first["temporal"]
        assert ports.choose(path, {}, held=["api"])["api"] == second["api"]
        with pytest.raises(DependencyError, match="is taken by another program"):
            ports.choose(path, {"api": first["api"]})
    assert ports.choose(path, {"api": first["api"]})["api"] == first["api"]


def test_broken_memory_of_ports_is_forgotten(tmp_path: Path):
    path = tmp_path / "ports.json"
    path.write_text('{"api": "x"')
    assert ports.remembered(path) == {}
    assert ports.choose(path, {})


def test_an_identity_is_not_fooled_by_a_reused_pid(tmp_path: Path):
    me = Identity.of(os.getpid(), "digest")
    assert me is not None
    me.save(tmp_path / "me.json")
    assert Identity.load(tmp_path / "me.json") == me
    assert me.alive()
    other = replace(me, started=me.started - 1)
    assert not other.alive()
    other.send(signal.SIGKILL)
    assert Identity.load(tmp_path / "none.json") is None


def test_a_lock_has_one_holder_even_after_its_death(tmp_path: Path):
    path = tmp_path / "lock"
    with Lock(path), pytest.raises(HeldError) as caught, Lock(path):
        pass
    assert caught.value.pid == os.getpid()
    with Lock(path):
        pass


def test_a_stubborn_process_and_its_group_are_killed(tmp_path: Path):
    script = "trap '' TERM; sleep 600 & echo $!; while true; do sleep 1; done"
    log = tmp_path / "log"
    command = Command(("/bin/sh", "-c", script), {}, tmp_path, log, stops=((signal.SIGTERM, 0.2),))
    process = Process(command, tmp_path / "record.json")
    process.start()
    until(lambda: log.read_text().strip())
    child = int(log.read_text())
    pid = process.pid
    process.stop()
    assert not alive(pid)
    until(lambda: not alive(child))
    assert not process.record.exists()


def test_what_is_left_of_a_dead_process_is_found_by_its_mark_wherever_it_went(tmp_path: Path):
    """Its child has left the session and is frozen; a process of another folder's part is somebody else's."""
    log = tmp_path / "log"
    command = Command(("/bin/sh", "-c", "setsid sleep 600 & echo $!; sleep 600"), {}, tmp_path, log)
    process, other = (Process(command, tmp_path / f"{n}.json", mark=f"{n}@{tmp_path}") for n in ("one", "other"))
    process.start()
    other.start()
    try:
        until(lambda: len(log.read_text().split()) == 2)
        children = [int(word) for word in log.read_text().split()]

        def marked() -> list[int]:  # none while it becomes `setsid`: its environment is empty for a moment
            return [pid for pid in children if f"one@{tmp_path}" in Path(f"/proc/{pid}/environ").read_text()]

        until(marked)
        [mine] = marked()
        freeze(mine)
        os.kill(process.pid, signal.SIGKILL)
        process.end_remains()
        assert not alive(mine)
        assert [alive(pid) for pid in children].count(True) == 1
        assert alive(other.pid)
    finally:
        for each in (process, other):
            each.stop()
            each.end_remains()


def test_what_survives_sigkill_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(remains, "_LIMIT_S", 0.1)
    monkeypatch.setattr(psutil.Process, "kill", lambda _: None)
    with pytest.raises(DependencyError, match=f"{os.getpid()}.*do not end"):
        remains.end("api", lambda process: process.pid == os.getpid())


def test_only_the_same_command_is_adopted(tmp_path: Path):
    command = Command(("/bin/sleep", "600"), {}, tmp_path, tmp_path / "log")
    record = tmp_path / "record.json"
    first = Process(command, record)
    first.start()
    try:
        assert Process(command, record).adopt()
        assert not Process(replace(command, argv=("/bin/sleep", "601")), record).adopt()
    finally:
        first.stop()
    assert not Process(command, record).adopt()


def test_a_grown_log_is_rotated_under_its_writer(tmp_path: Path):
    path = tmp_path / "part.log"
    with path.open("ab", buffering=0) as writer:
        writer.write(b"old\n" * 100)
        assert logfile.rotate(path, max_bytes=100)
        assert not logfile.rotate(path, max_bytes=100)
        writer.write(b"new\n")
    assert path.read_bytes() == b"new\n"
    assert (tmp_path / "part.log.1").stat().st_size == 400
    assert logfile.tail(tmp_path / "part.log.1", lines=2) == "old\nold"
    assert logfile.tail(tmp_path / "missing") == ""


def test_a_copied_folder_forgets_processes_and_sockets_of_the_original(tmp_path: Path):
    first = Layout.make(Settings(data_dir=tmp_path / "a"))
    first.record("postgres").write_text("{}")
    (tmp_path / "a").rename(tmp_path / "b")
    second = Layout.make(Settings(data_dir=tmp_path / "b"))
    assert second.sockets != first.sockets
    assert not second.record("postgres").exists()
    for layout in (first, second):
        layout.sockets.rmdir()


def test_a_sockets_folder_of_somebody_else_is_not_used(tmp_path: Path):
    first = Layout.make(Settings(data_dir=tmp_path / "a"))
    first.sockets.chmod(0o777)
    second = Layout.make(Settings(data_dir=tmp_path / "a"))
    assert second.sockets != first.sockets
    assert Layout.make(Settings(data_dir=tmp_path / "a")) == second
    for layout in (first, second):
        layout.sockets.rmdir()


def test_a_missing_program_says_what_to_do(tmp_path: Path):
    settings = Settings(temporal_binary=tmp_path / "x", envoy_binary=tmp_path / "y", postgres_bin_dir=tmp_path)
    for find in (binaries.temporal, binaries.envoy, binaries.postgres_dir):
        with pytest.raises(DependencyError, match=r"make setup.*DELIVERY_"):
            find(settings)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_postgres_runs_as_nobody_where_namespaces_are_denied(tmp_path: Path, short_dir: Path):
    unroot = Unroot.as_nobody(tmp_path)
    log = tmp_path / "log"
    server = Postgres(binaries.postgres_dir(Settings()), tmp_path, short_dir, tmp_path, log, unroot=unroot)
    server.prepare()
    server.clear()
    process = Process(server.command(), tmp_path / "record.json")
    process.start()
    try:
        until(lambda: server.probe(0) is None)
        server.settle()
        with psycopg.connect(server.url().replace("+psycopg", ""), connect_timeout=60) as connection:
            assert connection.execute("SELECT current_user").fetchone() == ("delivery",)
        assert Path(f"/proc/{process.pid}").stat().st_uid != 0
    finally:
        process.stop()
        subprocess.run(["rm", "-rf", str(unroot.home)], check=True)
