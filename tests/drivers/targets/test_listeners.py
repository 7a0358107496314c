"""One reading of the kernel's tables serves all who ask at about the same time."""

import socket

import pytest

from drivers.targets.process import listeners
from drivers.targets.process.listeners import ListeningSockets, SocketsOfTheMoment


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


def test_fifty_askers_share_one_reading(readings: list[ListeningSockets]) -> None:
    shared = SocketsOfTheMoment()
    assert len({id(shared.get(max_age_s=60)) for _ in range(50)}) == 1
    assert len(readings) == 1


def test_who_asks_for_now_sees_what_has_just_begun(readings: list[ListeningSockets]) -> None:
    shared = SocketsOfTheMoment()
    shared.get(max_age_s=60)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not shared.get(max_age_s=60).reached_at(port)
        assert shared.get(max_age_s=0).reached_at(port)
    assert len(readings) == 2
