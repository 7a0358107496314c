"""Connections to webhook receivers for httpcore: to checked addresses only (`runtime.outbound`), with limits.

TLS still verifies the name.
"""

import asyncio
import ssl
from collections.abc import Iterable
from typing import Any, Final

import httpcore2

from domain.addresses import is_reachable
from domain.webhook_urls import Networks
from runtime.outbound import (
    LookupUnavailableError,
    Resolve,
    SystemLookup,
    UnreachableError,
    UnresolvedError,
    dial,
    judged,
)

RESOLVERS: Final = 64  # concurrent name lookups
_NOT_ACCEPTED = (httpcore2.ConnectError, httpcore2.ConnectTimeout)
# Bytes of one response, including its head. Far less is stored; an endless one (interim responses, one-byte chunks with
# kilobytes of extensions) would keep our only thread busy parsing.
MAX_ANSWER = 128 * 1024


class RefusedError(httpcore2.ConnectError):
    """An address that is neither on the public internet nor in a network allowed by the operator."""


class NoSuchHostError(httpcore2.ConnectError):
    """A name without any address."""


class BoundedStream(httpcore2.AsyncNetworkStream):
    """A connection that fails when a response exceeds `MAX_ANSWER`; sending resets the count."""

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
    """Checks addresses and connects.

    Args:
        networks: private networks that are allowed.
        resolve: resolves names; None: as the operating system does.
    """

    def __init__(self, networks: Networks, resolve: Resolve | None = None) -> None:
        self._networks = networks
        self._plain = httpcore2.AnyIOBackend()
        self._lookup = SystemLookup(RESOLVERS)
        self._resolve = resolve or self._lookup.resolve

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the name is httpcore2's
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to a checked address of `host`.

        Raises:
            RefusedError: one of its addresses is not allowed.
            NoSuchHostError: it has none. httpcore2.ConnectError: none of them answers, or the name cannot be resolved
                now.
        """

        def judge(address: str) -> None:
            if not is_reachable(address, self._networks):
                raise RefusedError(f"{host} leads to an address that is not on the public internet")

        async def connect(address: str) -> httpcore2.AsyncNetworkStream:
            stream = await self._plain.connect_tcp(address, port, timeout, local_address, socket_options)
            return BoundedStream(stream)

        try:
            addresses = await judged(host, self._resolve, judge)
            # The time is limited by `timeout` and by the sender.
            return (await dial(addresses, connect, failures=_NOT_ACCEPTED))[1]
        except LookupUnavailableError as error:
            raise httpcore2.ConnectError(f"the name {host} cannot be looked up now") from error
        except UnresolvedError as error:
            raise NoSuchHostError(f"the name {host} leads to no address") from error
        except UnreachableError as error:
            raise httpcore2.ConnectError(f"{host} does not accept connections on port {port}") from error

    async def sleep(self, seconds: float) -> None:
        """Required by httpcore's pool."""
        await asyncio.sleep(seconds)

    def close(self) -> None:
        """Stop the threads for name lookups."""
        self._lookup.close()
