"""Receives webhooks on a port of this machine; each is verified before it is believed."""

import queue
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self

from delivery_cli.faults import UsageFault
from delivery_cli.output.clean import one_line

LARGEST: Final = 4 << 20
Json = dict[str, Any]


class Receiver:
    """A server for as long as it is entered; `events` gives what comes."""

    def __init__(self, port: int) -> None:
        self.secret = ""
        self._got: queue.Queue[tuple[dict[str, str], bytes]] = queue.Queue(1000)
        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self._got))
        except OSError as error:
            raise UsageFault(f"port {port} is taken: {error.strerror}", "name another with --port, or 0") from error
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}/"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def events(self, client: Any) -> Iterator[tuple[str, Json]]:
        """Why one is not believed, or the event; without an end."""
        from ai_agents import WebhookVerificationError

        from delivery_cli.run import plain

        while True:
            try:
                headers, body = self._got.get(timeout=0.5)
            except queue.Empty:
                continue
            try:
                yield "", plain(client.webhooks.verify(body, headers, self.secret))
            except WebhookVerificationError as error:
                yield one_line(str(error), 300), {}
            except ValueError as error:
                raise UsageFault(one_line(str(error), 300), "is this the webhook's secret?") from error


def _handler(got: "queue.Queue[tuple[dict[str, str], bytes]]") -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Takes a request and answers at once; what it is worth is seen afterwards."""

        timeout = 15.0

        def do_POST(self) -> None:
            size = self.headers.get("Content-Length", "")
            if not size.isdecimal() or int(size) > LARGEST:
                self._answer(413)
                return
            body = self.rfile.read(int(size))
            try:
                got.put_nowait(({key.lower(): value for key, value in self.headers.items()}, body))
            except queue.Full:
                self._answer(503)
                return
            self._answer(204)

        def _answer(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nobody asked for an access log."""

    return Handler
