"""Readiness: each probe answers None when ready, else why not. Every probe is bounded to a second or so."""

import http.client
import json
import socket
from pathlib import Path
from typing import Any

TIMEOUT_S = 1.5


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket (Envoy's admin)."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(str(self._path))


def request(connection: http.client.HTTPConnection, path: str, body: dict[str, Any] | None = None) -> tuple[int, bytes]:
    """One request (POST with a body, else GET) and its answer; the connection is closed.

    Raises:
        OSError: there is no answer in time.
        http.client.HTTPException: what answers does not speak HTTP.
    """
    try:
        payload = None if body is None else json.dumps(body)
        connection.request("GET" if body is None else "POST", path, payload)
        response = connection.getresponse()
        return response.status, response.read(1_000_000)
    finally:
        connection.close()


def answers(connection: http.client.HTTPConnection, path: str) -> str | None:
    """Whether GET `path` is answered with 200."""
    try:
        status, body = request(connection, path)
    except (OSError, http.client.HTTPException) as error:
        return f"no answer to {path} ({error or type(error).__name__})"
    if status == http.client.OK:
        return None
    return f"{path} answers {status}: {body[:300].decode(errors='replace').strip()}"


def tcp(host: str, port: int) -> http.client.HTTPConnection:
    """An HTTP connection over TCP, not yet open."""
    return http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
