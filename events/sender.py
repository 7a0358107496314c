"""One POST to a webhook's receiver: no redirects, no proxies, a time limit, and only the response's first bytes."""

import asyncio
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpcore2

from events.connection_pool import Connections
from events.egress_guard import NoSuchHostError, RefusedError, WebhookEgress

LIMIT_S = 15.0
KEPT_BODY = 4096
KEPT_HEADERS = 4096
MAX_ERROR = 500
_PRIVATE = frozenset({"set-cookie", "authorization", "www-authenticate", "proxy-authenticate"})


@dataclass(frozen=True)
class Answer:
    """Result of a request: status and first bytes of the response, or an error message."""

    duration_ms: int
    status: int | None = None
    headers: dict[str, str] | None = None
    body: str | None = None
    error: str | None = None


class Sender:
    """Keeps connections for further requests to the same host.

    Args:
        egress: opens checked connections.
        tls: the trusted CAs; None: the usual ones.
        limit_s: of a whole request, from name lookup to the last byte read.
    """

    def __init__(self, egress: WebhookEgress, *, tls: ssl.SSLContext | None = None, limit_s: float = LIMIT_S) -> None:
        self._egress = egress
        self._limit_s = limit_s
        self._connections = Connections(egress, tls)

    async def close(self) -> None:
        """Close all connections."""
        await self._connections.close()
        self._egress.close()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send and return the result; faults of the receiver are results, not exceptions."""
        began = time.monotonic()

        def after() -> int:
            return round((time.monotonic() - began) * 1000)

        try:
            async with asyncio.timeout(self._limit_s):
                status, found, kept = await self._exchange(url, headers, body)
        except TimeoutError:
            return Answer(after(), error=f"no complete answer within {self._limit_s:g} s")
        except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException) as error:
            return Answer(after(), error=_words(error))
        except (ValueError, httpcore2.UnsupportedProtocol) as error:
            return Answer(after(), error=f"the address cannot be used: {error}"[:MAX_ERROR])
        return Answer(after(), status, found, kept, _complaint(status))

    async def _exchange(self, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, dict[str, str], str]:
        kept = b""
        # A response that is not read to its end closes its connection.
        given = {"Host": urlsplit(url).netloc, **headers}
        async with self._connections.post(url, given, body) as response:
            async for chunk in response.aiter_stream():
                kept += chunk[: KEPT_BODY - len(kept)]
                if len(kept) >= KEPT_BODY:
                    break
            return response.status, _kept_headers(response.headers), _text(kept)


def _complaint(status: int) -> str | None:
    if 200 <= status < 300:  # noqa: PLR2004 - RFC 9110, 15.3
        return None
    if 300 <= status < 400:  # noqa: PLR2004 - RFC 9110, 15.4
        return f"answered {status}; redirects are not followed, change the webhook's address"
    return f"answered {status}"


def _kept_headers(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    found: dict[str, str] = {}
    room = KEPT_HEADERS
    for raw_name, raw_value in headers:
        name = _text(raw_name).lower()
        value = "[left out]" if name in _PRIVATE else _text(raw_value)
        room -= len(name) + len(value)
        if room < 0:
            break
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace").replace("\x00", "\ufffd")


def _words(error: Exception) -> str:
    if isinstance(error, RefusedError | NoSuchHostError):
        return str(error)[:MAX_ERROR]
    if isinstance(error.__context__, ssl.SSLError):
        return f"no secure connection: {error}"[:MAX_ERROR]
    if isinstance(error, httpcore2.ConnectError | httpcore2.ConnectTimeout):
        return (str(error) or "no connection")[:MAX_ERROR]
    return f"the connection broke: {error}"[:MAX_ERROR]
