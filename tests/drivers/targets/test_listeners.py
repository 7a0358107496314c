"""One reading of the kernel's tables serves all who wait for one."""

import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from drivers.targets.process import listeners
from drivers.targets.process.listeners import ListeningSockets, SocketsOfTheMoment

ASKERS = 50


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[ListeningSockets]:
    """Every reading that is made."""
    made: list[ListeningSockets] = []
    real = listeners.ListeningSockets

    def read() -> ListeningSockets:
        made.append(real())
        return made[-1]

    monkeypatch.setattr(listeners, "ListeningSockets", read)
    return made


def test_who_waits_while_another_reads_shares_the_next_reading(readings: list[ListeningSockets]) -> None:
    shared, asked = SocketsOfTheMoment(), threading.Semaphore(0)

    def ask() -> ListeningSockets:
        asked.release()
        return shared.get()

    with ThreadPoolExecutor(ASKERS) as pool:
        with shared._lock:  # somebody reads
            answers = [pool.submit(ask) for _ in range(ASKERS)]
            for _ in range(ASKERS):
                asked.acquire()
            threading.Event().wait(0.2)  # until the last of them stands at the lock
        assert all(answer.result(60) for answer in answers)
    assert len(readings) < ASKERS / 2


def test_who_asks_sees_what_has_just_begun(readings: list[ListeningSockets]) -> None:
    shared = SocketsOfTheMoment()
    shared.get()
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert shared.get().reached_at(server.getsockname()[1])
    assert len(readings) == 2


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The kernel's table of process 1."""
    monkeypatch.setattr(listeners, "Path", lambda _, *others: Path(tmp_path, *others))
    folder = tmp_path / "1" / "net"
    folder.mkdir(parents=True)
    return folder / "tcp"


def line(state: str, inode: int) -> str:
    return (
        f"   0: 0100007F:1F90 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  1000        0 {inode} 1\n"
    )


def test_sockets_that_do_not_listen_are_not_read_however_many_they_are(table: Path) -> None:
    """The kernel has those that listen first."""
    table.write_text("heading\n" + line("0A", 1) + line("0A", 2) + line("01", 3) + "what nobody can read\n" * 100_000)
    assert [inode for inode, _ in listeners._listening("1", "tcp")] == ["1", "2"]


def test_nor_more_that_listen_than_anybody_needs(table: Path) -> None:
    table.write_text("heading\n" + "".join(line("0A", number) for number in range(listeners._MOST + 5)))
    assert len(listeners._listening("1", "tcp")) == listeners._MOST


def test_the_kernel_lists_those_that_listen_first() -> None:
    with ExitStack() as stack:
        for _ in range(20):
            server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            stack.enter_context(socket.create_connection(server.getsockname()))
        last = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        found = ListeningSockets()
        assert all(found.reached_at(each.getsockname()[1]) for each in (server, last))


def test_of_a_network_of_its_own_the_descriptors_of_one_process_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bridge's, whatever others call themselves."""
    read: list[int] = []
    monkeypatch.setattr(listeners, "_name", lambda pid: "" if pid == os.getpid() else "delivery-bridge")
    monkeypatch.setattr(listeners, "_sockets", lambda pid: read.append(pid) or [])
    with socket.create_server(("127.0.0.1", 0)) as server:
        own = listeners.OwnNetwork([os.getpid(), os.getppid(), 1])
        assert own.listening(server.getsockname()[1])
    assert read == [os.getppid()]
