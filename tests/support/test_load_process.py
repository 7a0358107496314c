import socket

import pytest

from examples.client import Service
from tests.support import load_process
from tests.support.services import free_port, until


def test_load_that_ends_by_itself_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_process, "MAX_SECONDS", 0.05)
    service = Service("http://service.localhost", f"127.0.0.1:{free_port()}")
    with pytest.raises(AssertionError, match="ended by itself"), load_process.load_on(service, rps=100) as load:
        until(lambda: not load.running, "the load's end", 120)


def test_a_load_that_cannot_begin_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_process, "MAX_SECONDS", -1)
    service = Service("http://service.localhost", f"127.0.0.1:{free_port()}")
    with pytest.raises(AssertionError, match="did not begin"), load_process.load_on(service, rps=100):
        pytest.fail("there is no load")


def test_load_of_any_rate_begins() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(120)
        service = Service("http://service.localhost", f"127.0.0.1:{server.getsockname()[1]}")
        with load_process.load_on(service, rps=1000):
            server.accept()[0].close()
