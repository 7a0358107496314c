"""Refusals by the server before any application, in the envelope: invalid HTTP, endless heads, too many connections."""

import asyncio
from collections import Counter
from functools import lru_cache
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.http.client_ip import Addresses, network_of
from api.http.envelope import JSON, ErrorBody, ErrorEnvelope, Meta
from api.http.security_headers import for_data
from api.version import API_VERSION
from domain.errors import ErrorCode
from runtime.ids import new_id, now
from runtime.settings import get_settings

# Far above AddressGuard's limit; this only bounds the memory of a head.
MAX_HEAD = 128 * 1024
HEAD_LIMIT_S = 15.0
# A client IP with all its connections in use still gets answers about liveness and health.
CROWDED_HEAD_LIMIT_S = 2.0
CROWD = 1.25
ALWAYS = frozenset({b"/livez", b"/v1/livez", b"/readyz", b"/v1/readyz", b"/health", b"/v1/health"})
RETRY_LATER = (b"retry-after", b"5")
_REASONS = {
    400: "Bad Request",
    408: "Request Timeout",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}


class Crowd:
    """The number of connections per client IP of one server."""

    _of_server: ClassVar["WeakKeyDictionary[Any, Crowd]"] = WeakKeyDictionary()

    def __init__(self) -> None:
        self.of_address: Counter[str] = Counter()

    @classmethod
    def of(cls, server: Any) -> "Crowd":
        """The counter of a server, which uvicorn identifies by its state."""
        return cls._of_server.setdefault(server, cls())

    def leave(self, address: str) -> None:
        """A connection was closed."""
        self.of_address[address] -= 1
        if self.of_address[address] <= 0:
            del self.of_address[address]


@lru_cache(maxsize=1)
def _addresses() -> Addresses:
    return Addresses(get_settings().trusted_proxies)


class EnvelopedHttp(HttpToolsProtocol):
    """uvicorn's protocol, with limits for a request's head, and our format for refusals.

    `per_address`: maximum connections per client IP; None: the setting.
    """

    per_address: ClassVar[int | None] = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._most, self.limit_concurrency = self.limit_concurrency, None  # uvicorn's own message is plain text
        self._head: int | None = None  # bytes of an unfinished head without its first piece; None: there is none
        self._head_limit: asyncio.TimerHandle | None = None
        self._crowd = Crowd.of(self.server_state)
        self._from = ""  # the client IP of this connection
        self._most_of_one = self.per_address or get_settings().connections_per_address
        self._is_crowded = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn does
        """Start the timer for the first request of a connection, and limit connections per client IP."""
        super().connection_made(transport)
        address = str(self.client[0]) if self.client else ""
        if address and not _addresses().is_proxy(address):
            self._from = network_of(address)
            self._crowd.of_address[self._from] += 1
            self._is_crowded = self._crowd.of_address[self._from] > self._most_of_one
        if self._is_crowded and self._crowd.of_address[self._from] > self._most_of_one * CROWD:
            self._refuse_crowd()
            return
        limit_s = CROWDED_HEAD_LIMIT_S if self._is_crowded else HEAD_LIMIT_S
        self._head_limit = self.loop.call_later(limit_s, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer and no longer count the connection."""
        self._end_head()
        if self._from:
            self._crowd.leave(self._from)
            self._from = ""
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """A head that was unfinished before and still is has grown by these bytes."""
        before = self._head
        super().data_received(data)
        if self._head is not None and before is not None:
            self._head = before + len(data)
            if self._head > MAX_HEAD:
                self._refuse(431, ErrorCode.PAYLOAD_TOO_LARGE, f"the request line and headers pass {MAX_HEAD} bytes")

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._end_head()
        self._head = 0
        self._head_limit = self.loop.call_later(HEAD_LIMIT_S, self._too_slow)

    def on_headers_complete(self) -> None:
        """Calls the application, or the refusal if there are too many connections."""
        self._end_head()
        app = self.app
        if self._is_crowded and bytes(self.url).partition(b"?")[0] not in ALWAYS:
            self.app = self._crowded
        if self._most is not None and max(len(self.connections), len(self.tasks)) >= self._most:
            self.logger.warning("Exceeded concurrency limit.")
            self.app = _full_house if self.app is app else self.app
        try:
            super().on_headers_complete()
        finally:
            self.app = app

    def send_400_response(self, msg: str) -> None:
        """Answer 400 with a new request id; the client's was not read."""
        del msg  # the server's message
        message = "this is no HTTP request; check the request line, its encoding and length, and the headers"
        self._refuse(400, ErrorCode.VALIDATION_ERROR, message)

    def _refuse_crowd(self) -> None:
        self._refuse(429, ErrorCode.RATE_LIMIT_EXCEEDED, self._crowd_is_told(), RETRY_LATER)

    async def _crowded(self, scope: Any, receive: Any, send: Any) -> None:
        del scope, receive  # nothing reads the result
        head, body = refusal(429, ErrorCode.RATE_LIMIT_EXCEEDED, self._crowd_is_told())
        extra = [RETRY_LATER, (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 429, "headers": [*head, *extra]})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    def _crowd_is_told(self) -> str:
        return f"your address has {self._most_of_one} connections open already; close some, or use them again"

    def _end_head(self) -> None:
        self._head = None
        if self._head_limit is not None:
            self._head_limit.cancel()
            self._head_limit = None

    def _too_slow(self) -> None:
        message = f"the request line and headers did not arrive within {HEAD_LIMIT_S:.0f} s"
        self._refuse(408, ErrorCode.TIMEOUT, message)

    def _refuse(self, status: int, code: ErrorCode, message: str, *more: tuple[bytes, bytes]) -> None:
        self._end_head()
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.close()  # an answer is in progress; ours would be inserted into it
            return
        head, body = refusal(status, code, message)
        lines = [f"HTTP/1.1 {status} {_REASONS[status]}".encode()]
        lines += [name + b": " + value for name, value in (*head, *more, (b"connection", b"close"))]
        self.transport.write(b"\r\n".join([*lines, b"", b""]) + body)
        self.transport.close()


async def _full_house(scope: Any, receive: Any, send: Any) -> None:
    del scope, receive  # nothing reads the result
    head, body = refusal(503, ErrorCode.SERVICE_UNAVAILABLE, "too many connections are open; try again in a moment")
    extra = [(b"retry-after", b"1"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 503, "headers": [*head, *extra]})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def refusal(status: int, code: ErrorCode, message: str) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Headers and envelope for a request that did not reach an application."""
    request_id = f"req-{new_id()}"
    error = ErrorBody(code=code, message=message)
    meta = Meta(timestamp=now(), request_id=request_id, version=API_VERSION)
    body = ErrorEnvelope(success=False, status=status, error=error, meta=meta).model_dump_json().encode()
    head = [
        (b"content-type", JSON.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"x-request-id", request_id.encode()),
        *for_data(https=False),
    ]
    return head, body
