"""One reading of the kernel's tables serves all who wait for one."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor

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
