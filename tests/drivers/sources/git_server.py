"""A small http server in front of `git http-backend`, for tests: the smart protocol, spoken by git itself."""

import base64
import contextlib
import os
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

ANSWERS = {"/redirect": 301, "/private": 401, "/broken": 503}


@dataclass
class Seen:
    """What a server was asked for, and `watch`, called at each request that came with the right credential."""

    requests: list[tuple[str, str | None]] = field(default_factory=list)
    watch: Callable[[], None] = lambda: None
    redirect: str = "http://127.0.0.1:1/elsewhere"


@contextlib.contextmanager
def serve_repositories(
    root: Path, *, credential: str | None = None, tls: ssl.SSLContext | None = None, seen: Seen | None = None
) -> Iterator[str]:
    """Serve every repository below a folder on a free loopback port; yields the base URL.

    `credential`: `user:password` that all have to give, as basic authentication.
    """
    seen = seen or Seen()
    wanted = credential and "Basic " + base64.b64encode(credential.encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers["Content-Length"])))

        def _answer(self, body: bytes) -> None:
            url = urlsplit(self.path)
            given = self.headers.get("Authorization")
            seen.requests.append((url.path, given))
            if wanted is not None and given != wanted:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="git"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if wanted is not None:
                seen.watch()
            status = next((s for start, s in ANSWERS.items() if url.path.startswith(start)), None)
            if status is not None:
                self.send_response(status)
                self.send_header("Location", seen.redirect)
                self.end_headers()
                return
            done = subprocess.run(
                ["git", "http-backend"],
                env=_cgi(self, root, unquote(url.path), url.query),
                input=body,
                capture_output=True,
                check=True,
            )
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
            self.send_response(int(headers.pop("Status", "200").split()[0]))
            headers["Content-Length"] = str(len(content))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_arguments: object) -> None:
            """Nothing to say."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _cgi(request: BaseHTTPRequestHandler, root: Path, path: str, query: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "GIT_PROJECT_ROOT": str(root),
        "GIT_HTTP_EXPORT_ALL": "1",
        "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "REQUEST_METHOD": request.command,
        "CONTENT_TYPE": request.headers.get("Content-Type", ""),
        "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
        "REMOTE_ADDR": "127.0.0.1",
    }
