"""A server that is no good in one way: what stands between a user and the API."""

import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.support.certificates import Authority

PAGE = b"<html><body>Corporate proxy: please log in</body></html>"


def error(code: str, message: str = "no") -> bytes:
    body = {"success": False, "status": 0, "error": {"code": code, "message": message}, "meta": {"request_id": "req-7"}}
    return json.dumps(body).encode()


class Misbehaving(ThreadingHTTPServer):
    """Counts requests; `answer(handler)` writes what comes back."""

    daemon_threads = True

    def __init__(self, answer: Any) -> None:
        self.requests: list[str] = []
        self.answer = answer
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, *_: object) -> None:
        """A client that goes away, as it does from a wrong certificate, is what is tested."""

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Handler(BaseHTTPRequestHandler):
    server: Misbehaving
    protocol_version = "HTTP/1.1"

    def _any(self) -> None:
        self.server.requests.append(f"{self.command} {self.path}")
        self.server.answer(self)
        self.close_connection = True

    do_GET = do_POST = do_PATCH = do_DELETE = _any  # noqa: N815 - http.server's names

    def log_message(self, *_: object) -> None:
        pass


def said(
    status: int,
    body: bytes,
    kind: str = "application/json",
    *,
    headers: dict[str, str] | None = None,
    short: int = 0,
    skew: float = 0,
) -> Any:
    """Answers like that; `short`: so many bytes of the body never come; `skew`: its clock is so many seconds ahead."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response_only(status)
        handler.send_header("Date", formatdate(time.time() + skew, usegmt=True))
        handler.send_header("Content-Type", kind)
        handler.send_header("X-Request-ID", "req-7")
        handler.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body[: len(body) - short])
        handler.wfile.flush()

    return answer


@contextmanager
def running(answer: Any, certificate: Path | None = None) -> Iterator[Misbehaving]:
    """The server, while it runs; with a certificate it speaks TLS."""
    with Misbehaving(answer) as server:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(60)


def certificate_of(folder: Path, host: str) -> Path:
    """Certificate and key of an authority that nobody knows."""
    issued = Authority("nobody's").issue(host)
    path = folder / "server.pem"
    path.write_bytes(issued.certificate + issued.key)
    return path
