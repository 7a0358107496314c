"""A server that misbehaves as a scenario tells it to, and writes down what it got.

On bare sockets: libraries for HTTP servers behave.
"""

import json
import os
import socket
import ssl
import struct
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from sdks.conformance.behaviour import Answer, Rule, StreamEvent
from sdks.conformance.certificates import Fault, certificate
from sdks.conformance.samples import merged, sample

# Requests that gather are let go after so long, however few there are.
GATHER_S: Final = 20.0
IDLE_S: Final = 60.0
BEAT_S: Final = 0.2
MAX_HEAD: Final = 1 << 16
NOBODY: Final = Answer(status=404, error={"code": "RESOURCE_NOT_FOUND", "message": "the scenario has no such address"})


@dataclass
class Request:
    """One request as it came; `path` as it was spelled, `at` in seconds of a monotonic clock."""

    verb: str
    target: str
    headers: Mapping[str, str]
    body: str
    at: float = field(default_factory=time.monotonic)

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def json(self) -> Any:
        """The body's JSON; None if it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body, keep_blank_values=True))

    def as_json(self) -> dict[str, Any]:
        """What a scenario can ask of it."""
        plain = {"verb": self.verb, "target": self.target, "path": self.path, "headers": dict(self.headers)}
        return {**plain, "query": self.query, "body": self.body, "json": self.json, "form": self.form}


class Server:
    """Listens on a port of loopback until it is closed.

    Args:
        rules: the first one that takes a request answers it; without one the answer is a 404.
        fault: of its certificate; None: plain HTTP.
    """

    def __init__(self, rules: Sequence[Rule], fault: Fault | None = None) -> None:
        self._rules = rules
        self._used = [0] * len(rules)
        self._lock = threading.Lock()
        self._gathered = threading.Condition(self._lock)
        self._waiting: dict[int, int] = {}
        self._closed = threading.Event()
        self._requests: list[Request] = []
        self._tls = _tls(fault) if fault else None
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def requests(self) -> list[Request]:
        """All that were read so far, in the order of their coming."""
        with self._lock:
            return list(self._requests)

    def forget(self) -> None:
        """Forget the requests so far."""
        with self._lock:
            self._requests.clear()

    def close(self) -> None:
        """Stop listening; streams that are held end."""
        self._closed.set()
        with self._lock:
            self._gathered.notify_all()
        self._listener.close()

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError, ValueError):
            connection.settimeout(IDLE_S)
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection, connection.makefile("rb") as reader:
                while not self._resets_unread(connection) and (request := self._read(reader)):
                    if not self._reply(connection, request):
                        return

    def _resets_unread(self, connection: socket.socket) -> bool:
        """Which rule a request takes is known when it was read: a reset before that is always the first rule's."""
        with self._lock:
            resets = bool(self._rules) and self._next(0).reset == "before"
            self._used[:1] = [self._used[0] + 1] if resets else self._used[:1]
        if resets:
            _reset(connection)
        return resets

    def _next(self, number: int) -> Answer:
        answers = self._rules[number].answers
        return answers[min(self._used[number], len(answers) - 1)]

    def _read(self, reader: Any) -> Request | None:
        first = reader.peek(1)[:1]
        if first == _TLS_HANDSHAKE:  # its random bytes may look like a line, or have no end of one
            return None
        start = reader.readline(MAX_HEAD).decode("latin-1").split()
        if len(start) != 3 or not start[2].startswith("HTTP/"):  # noqa: PLR2004 - method, target, version
            return None
        headers: dict[str, str] = {}
        while (line := reader.readline(MAX_HEAD).decode("latin-1").strip()) != "":
            name, _, value = line.partition(":")
            name, value = name.strip().lower(), value.strip()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value  # as HTTP reads one sent twice
        body = _chunked(reader) if "chunked" in headers.get("transfer-encoding", "") else b""
        body = body or reader.read(int(headers.get("content-length", 0)))
        request = Request(start[0], start[1], headers, body.decode(errors="replace"))
        with self._lock:
            self._requests.append(request)
        return request

    def _reply(self, connection: socket.socket, request: Request) -> bool:
        """Answer; whether the connection goes on."""
        answer = self._answer_to(request)
        if answer.gather:
            self._gather(answer)
        if answer.delay:
            self._closed.wait(answer.delay)
        if answer.reset == "after":
            _reset(connection)
            return False
        if answer.events is not None:
            self._stream(connection, request, answer)
            return False
        body = answer.body(request.verb.lower(), request.path)
        length = len(body) if answer.content_length is None else answer.content_length
        connection.sendall(_head(answer, length) + body[: _sent(answer, len(body))])
        if answer.reset == "inside":
            _reset(connection)
        return answer.keep_alive and answer.reset is None and answer.cut is None

    def _answer_to(self, request: Request) -> Answer:
        with self._lock:
            for number, rule in enumerate(self._rules):
                if rule.takes(request.verb, request.path, request.query, request.headers):
                    answer = self._next(number)
                    self._used[number] += 1
                    return answer
        return NOBODY

    def _gather(self, answer: Answer) -> None:
        """Wait until as many are here as the answer says."""
        with self._lock:
            self._waiting[id(answer)] = self._waiting.get(id(answer), 0) + 1
            self._gathered.notify_all()
            self._gathered.wait_for(
                lambda: self._closed.is_set() or self._waiting[id(answer)] >= answer.gather, GATHER_S
            )

    def _stream(self, connection: socket.socket, request: Request, answer: Answer) -> None:
        connection.sendall(_head(answer, None))
        for one in answer.events or ():
            connection.sendall(_chunk(_event(one, request)))
        if answer.ending == "reset":
            # What was sent is to arrive first: a reset overtakes it.
            time.sleep(0.3)
            connection.sendall(b'40\r\nid: 99\ndata: {"half')
            _reset(connection)
        elif answer.ending == "close":
            connection.sendall(b"0\r\n\r\n")
        else:
            while not self._closed.wait(BEAT_S):
                connection.sendall(_chunk(": still here\n\n"))


def _sent(answer: Answer, length: int) -> int:
    if answer.cut is not None:
        return answer.cut
    return length // 2 if answer.reset == "inside" else length


_TLS_HANDSHAKE = b"\x16"  # the first byte of a ClientHello's record (RFC 8446, 5.1)


def _head(answer: Answer, length: int | None) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} As Told", *(f"{name}: {value}" for name, value in answer.all_headers())]
    if answer.status != 204:  # noqa: PLR2004 - no content
        lines.append("Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}")
    if not answer.keep_alive:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode()


def _event(one: StreamEvent, request: Request) -> str:
    if one.comment is not None:
        return f": {one.comment}\n\n"
    lines = [f"event: {one.event}"] if one.event else []
    lines += [f"id: {one.id}"] if one.id is not None else []
    data = one.data
    if isinstance(data, Mapping) and not one.exact:
        whole = sample("get", request.path.removeprefix("/v1").removesuffix("/events"))
        data = merged(whole.get("data", {}), data)
    text = data if isinstance(data, str) else json.dumps(data)
    return "\n".join([*lines, *(f"data: {line}" for line in text.split("\n")), "", ""])


def _chunk(text: str) -> bytes:
    content = text.encode()
    return f"{len(content):x}\r\n".encode() + content + b"\r\n"


def _chunked(reader: Any) -> bytes:
    found = b""
    while size := int(reader.readline().split(b";")[0] or b"0", 16):
        found += reader.read(size)
        reader.readline()
    reader.readline()
    return found


def _reset(connection: socket.socket) -> None:
    """Close with RST: what lingers is thrown away."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    os.close(connection.detach())


def _tls(fault: Fault) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "server.pem"
        file.write_bytes(certificate(fault))
        context.load_cert_chain(file)
    return context
