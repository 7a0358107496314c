"""Connections to the checked address only.

A name is resolved once a connection, every answer is judged, and the connection goes to one of those very addresses:
a name that leads elsewhere a moment later changes nothing. TLS still speaks to the name.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpcore2

from domain.addresses import is_reachable
from domain.webhook_urls import Networks

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
# A resolver that does not answer keeps a thread for seconds; names of other endpoints must not wait for it.
RESOLVERS = 64
# Of one answer, head and all. What is kept of it is far less; an endless one (interim responses, chunks of a byte with
# kilobytes of extensions) would keep our only thread busy parsing.
MAX_ANSWER = 128 * 1024


class RefusedError(httpcore2.ConnectError):
    """An address that is not on the public internet, and not in a network named by the operator."""


class NoSuchHostError(httpcore2.ConnectError):
    """A name that leads nowhere."""


class BoundedStream(httpcore2.AsyncNetworkStream):
    """A connection that breaks when an answer is larger than `MAX_ANSWER`; what is sent begins a new one."""

    def __init__(self, stream: httpcore2.AsyncNetworkStream) -> None:
        self._stream = stream
        self._left = MAX_ANSWER

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore2's name
        """Raises `httpcore2.ReadError` beyond the limit."""
        data = await self._stream.read(max_bytes, timeout)
        self._left -= len(data)
        if self._left < 0:
            raise httpcore2.ReadError(f"the answer is larger than {MAX_ANSWER // 1024} KiB")
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - httpcore2's name
        self._left = MAX_ANSWER
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore2's name
    ) -> httpcore2.AsyncNetworkStream:
        return BoundedStream(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class WebhookEgress(httpcore2.AsyncNetworkBackend):
    """Judges and connects.

    Args:
        networks: private ones that may be reached.
        resolve: how names become addresses; None: as the operating system does.
    """

    def __init__(self, networks: Networks, resolve: Resolve | None = None) -> None:
        self._networks = networks
        self._plain = httpcore2.AnyIOBackend()
        self._threads = ThreadPoolExecutor(RESOLVERS, thread_name_prefix="resolve")
        self._asked: dict[tuple[str, int], asyncio.Future[list[Any]]] = {}
        self._resolve = resolve or self._ask_system

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the name is httpcore2's
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """A connection to an address of `host` that was judged.

        Raises:
            RefusedError: one of its addresses must not be reached.
            NoSuchHostError: it has none.
            httpcore2.ConnectError: none of them answers.
        """
        addresses = await self._resolve(host, port)
        if not addresses:
            raise NoSuchHostError(f"{host} has no address")
        for address in addresses:
            if not is_reachable(address, self._networks):
                raise RefusedError(f"{host} leads to an address that is not on the public internet")
        failure: Exception | None = None
        for address in dict.fromkeys(addresses):
            try:
                stream = await self._plain.connect_tcp(address, port, timeout, local_address, socket_options)
                return BoundedStream(stream)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise httpcore2.ConnectError(f"{host} does not accept connections on port {port}") from failure

    async def sleep(self, seconds: float) -> None:
        """As the pool asks."""
        await asyncio.sleep(seconds)

    def close(self) -> None:
        """Let go of the threads; those that wait for a resolver end when it does."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _ask_system(self, host: str, port: int) -> Sequence[str]:
        try:
            # Whoever gives up leaves the question to the others: its thread is taken until there is an answer anyway.
            found = await asyncio.shield(self._answer(host, port))
        except (OSError, UnicodeError) as error:
            raise NoSuchHostError(f"the name {host} leads to no address") from error
        return [str(entry[4][0]) for entry in found]

    def _answer(self, host: str, port: int) -> asyncio.Future[list[Any]]:
        """Concurrent lookups of a name share one thread, so a name that never resolves cannot occupy all of them."""
        asked = self._asked.get((host, port))
        if asked is None:
            asked = asyncio.get_running_loop().run_in_executor(
                self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            )
            self._asked[host, port] = asked
            asked.add_done_callback(lambda answered: self._forget(host, port, answered))
        return asked

    def _forget(self, host: str, port: int, answered: asyncio.Future[list[Any]]) -> None:
        del self._asked[host, port]
        if not answered.cancelled():
            answered.exception()  # looked at, also when nobody waits for it any more
