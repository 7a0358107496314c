"""Connections to the checked address only.

A name is resolved once a connection, every answer is judged, and the connection goes to one of those very addresses:
a name that leads elsewhere a moment later changes nothing. TLS still speaks to the name.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import httpcore2

from domain.addresses import is_reachable
from domain.webhook_urls import Networks

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
# A resolver that does not answer keeps a thread for seconds; names of other endpoints must not wait for it.
RESOLVERS = 64


class RefusedError(httpcore2.ConnectError):
    """An address that is not on the public internet, and not in a network named by the operator."""


class NoSuchHostError(httpcore2.ConnectError):
    """A name that leads nowhere."""


class Egress(httpcore2.AsyncNetworkBackend):
    """Judges and connects.

    Args:
        networks: private ones that may be reached.
        resolve: how names become addresses; None: as the operating system does.
    """

    def __init__(self, networks: Networks, resolve: Resolve | None = None) -> None:
        self._networks = networks
        self._plain = httpcore2.AnyIOBackend()
        self._threads = ThreadPoolExecutor(RESOLVERS, thread_name_prefix="resolve")
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
                return await self._plain.connect_tcp(address, port, timeout, local_address, socket_options)
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
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(
                self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            )
        except (OSError, UnicodeError) as error:
            raise NoSuchHostError(f"the name {host} leads to no address") from error
        return [str(entry[4][0]) for entry in found]
