"""Keeps connections for further requests to the same host.

httpcore's own pool scans all of its connections at every request; with many concurrent requests to many hosts that
would be most of the work.
"""

import ssl
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpcore2

from events.egress_guard import WebhookEgress

# Shorter than the five seconds after which many servers close an idle connection.
KEEP_ALIVE_S = 4.0
MOST_IDLE = 32  # per host
Place = tuple[bytes, bytes, int]
# Errors when a server closes an idle connection at this very moment.
_BROKEN = (httpcore2.RemoteProtocolError, httpcore2.ReadError, httpcore2.WriteError)


class Connections:
    """Lends a connection to one request at a time.

    Args:
        egress: opens checked connections.
        tls: the trusted CAs; None: the usual ones.
    """

    def __init__(self, egress: WebhookEgress, tls: ssl.SSLContext | None) -> None:
        self._egress = egress
        self._tls = tls or httpcore2.default_ssl_context()
        self._idle: defaultdict[Place, list[httpcore2.AsyncHTTPConnection]] = defaultdict(list)
        self._tidied_at = time.monotonic()

    @asynccontextmanager
    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> AsyncIterator[httpcore2.Response]:
        """Send, and yield the response's head; read its body inside the context, else the connection is closed."""
        origin = httpcore2.URL(url).origin
        place = (origin.scheme, origin.host, origin.port)
        response = None
        connection = await self._take(place)
        if connection is not None:
            try:
                response = await connection.handle_async_request(_request(url, headers, body))
            except _BROKEN:
                await connection.aclose()  # it was closed while idle: the next one is new
            except BaseException:
                await connection.aclose()
                raise
        if connection is None or response is None:
            connection = self._new(origin)
            try:
                response = await connection.handle_async_request(_request(url, headers, body))
            except BaseException:
                await connection.aclose()
                raise
        try:
            yield response
        finally:
            await response.aclose()
            await self._give_back(place, connection)

    async def close(self) -> None:
        """Close all idle connections."""
        for kept in self._idle.values():
            for connection in kept:
                await connection.aclose()
        self._idle.clear()

    def _new(self, origin: httpcore2.Origin) -> httpcore2.AsyncHTTPConnection:
        return httpcore2.AsyncHTTPConnection(
            origin, ssl_context=self._tls, keepalive_expiry=KEEP_ALIVE_S, network_backend=self._egress
        )

    async def _take(self, place: Place) -> httpcore2.AsyncHTTPConnection | None:
        await self._tidy()
        kept = self._idle.get(place)
        while kept:
            connection = kept.pop()
            if connection.is_idle() and not connection.has_expired():
                return connection
            await connection.aclose()
        return None

    async def _give_back(self, place: Place, connection: httpcore2.AsyncHTTPConnection) -> None:
        if connection.is_idle() and len(self._idle[place]) < MOST_IDLE:
            self._idle[place].append(connection)
        else:
            await connection.aclose()

    async def _tidy(self) -> None:
        """Close idle connections at intervals."""
        if time.monotonic() - self._tidied_at < KEEP_ALIVE_S:
            return
        self._tidied_at = time.monotonic()
        for place, kept in list(self._idle.items()):
            expired = [connection for connection in kept if connection.has_expired()]
            kept[:] = [connection for connection in kept if connection not in expired]
            if not kept:
                del self._idle[place]
            for connection in expired:
                await connection.aclose()


def _request(url: str, headers: Mapping[str, str], body: bytes) -> httpcore2.Request:
    given = {**headers, "Content-Length": str(len(body))}
    return httpcore2.Request("POST", url, headers=list(given.items()), content=body)
