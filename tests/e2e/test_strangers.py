"""After a service died somebody else listens on its port: users meet the stranger no more, and the world is told."""

import os
import signal
import socketserver
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler

import pytest

from drivers.shim import client
from tests.chaos.frozen import frozen
from tests.support.services import until

pytestmark = [pytest.mark.e2e, pytest.mark.deep, pytest.mark.timeout(400)]

WORDS = b"a stranger's words"


class Stranger(BaseHTTPRequestHandler):
    """Answers everything well, health checks too."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(WORDS)))
        self.end_headers()
        self.wfile.write(WORDS)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


@contextmanager
def stranger_on(port: int) -> Iterator[None]:
    """As soon as it can have the port."""
    made: list[Server] = []

    def get() -> bool:
        try:
            made.append(Server(("127.0.0.1", port), Stranger))
        except OSError:
            return False
        return True

    until(get, f"a stranger on port {port}", 180)
    thread = threading.Thread(target=made[0].serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        made[0].shutdown()
        made[0].server_close()


def test_a_stranger_on_the_port_of_a_dead_instance_gets_no_traffic(platform, records):
    app = platform.app("hijacked")
    shipped = app.ship_good()
    [row] = records.all("SELECT id, port FROM instances WHERE release_id = %s", shipped.deployment["id"])
    state = records.layout.data / "instances" / row["id"] / "shim"
    with ExitStack() as stranger:
        with frozen(records, "worker"):  # or the reconciler may be faster than the stranger
            os.kill(client.status(state).shim_pid, signal.SIGKILL)
            stranger.enter_context(stranger_on(row["port"]))
            until(lambda: app.service.get("/").content == WORDS, "users meeting the stranger", 180)
        until(lambda: app.service.get("/").content != WORDS, "the reconciler's pass", 180)
        until(lambda: app.service.get("/version").status_code == 200, "the service on its new port", 180)
        assert app.serves(shipped.version, times=50)
        [moved] = records.all("SELECT port FROM instances WHERE id = %s", row["id"])
        assert moved["port"] != row["port"]
    told = records.all("SELECT payload FROM events WHERE type = 'instance.displaced'")
    assert [each["payload"]["environment"]["displaced_instance"]["instance_id"] for each in told] == [row["id"]]
