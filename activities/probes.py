"""Health probes: one HTTP GET, and what a person wants to know of its answer."""

import asyncio
from dataclasses import dataclass, replace
from typing import Any

import httpx2

from domain.errors import DependencyError
from domain.routing import PREVIEW_HEADER, REFUSED_HEADER

MAX_QUOTE = 300
INSIDE = "127.0.0.1"
_OPTIONS: dict[str, Any] = {
    # A compressed answer is not asked for, and never unpacked: a few untrusted bytes could become very many.
    "headers": {"accept-encoding": "identity"},
    "trust_env": False,
    "follow_redirects": False,
}


@dataclass(frozen=True)
class Probe:
    """One answer: any 2xx or 3xx is healthy. `release_id`: of which release, if the router says so; `status`: code.

    `refused`: the bridge answered, since no process listens behind it.
    """

    healthy: bool
    words: str
    release_id: str | None = None
    status: int | None = None
    refused: bool = False


class Prober:
    """Asks instances directly, or a host through the router. Follows no redirects, uses no proxies."""

    def __init__(self, ingress_host: str, ingress_port: int) -> None:
        self._ingress = f"http://{ingress_host}:{ingress_port}"
        # A probe opens its own connection, as a new client would.
        self._client = httpx2.AsyncClient(limits=httpx2.Limits(max_keepalive_connections=0), **_OPTIONS)

    async def instance(self, address: str, port: int, path: str, timeout_s: float, *, host: str | None = None) -> Probe:
        """Ask one instance, under the name `host` if there is one. An `address` may be the path of a unix socket."""
        headers = {"host": host} if host else {}
        if address.startswith("/"):
            return await self._through_its_door(address, f"http://{INSIDE}:{port}{path}", timeout_s, headers)
        url = f"http://{address}:{port}{path}"
        try:
            return await self._ask(self._client, url, timeout_s, headers)
        except httpx2.ConnectError as error:
            return _broken(url, error)

    async def _through_its_door(self, socket: str, url: str, timeout_s: float, headers: dict[str, str]) -> Probe:
        transport = httpx2.AsyncHTTPTransport(uds=socket, verify=False)  # no TLS here
        async with httpx2.AsyncClient(transport=transport, **_OPTIONS) as client:
            try:
                probe = await self._ask(client, url, timeout_s, headers)
            except httpx2.ConnectError as error:
                return _broken(url, error)
        return replace(probe, words=f"GET {url} failed: nobody listens on the port") if probe.refused else probe

    async def through_router(self, host: str, path: str, timeout_s: float, *, preview: str | None = None) -> Probe:
        """Request a host through the router, as users do; with a `preview` token the preview answers.

        Raises:
            DependencyError: the router itself is away, which tells nothing of the version behind it.
        """
        headers = {"host": host} | ({PREVIEW_HEADER: preview} if preview else {})
        try:
            return await self._ask(self._client, f"{self._ingress}{path}", timeout_s, headers)
        except httpx2.ConnectError as error:
            raise DependencyError(f"the router at {self._ingress} takes no connections: {error}") from error

    async def close(self) -> None:
        await self._client.aclose()

    async def _ask(self, client: httpx2.AsyncClient, url: str, timeout_s: float, headers: dict[str, str]) -> Probe:
        try:
            # The client's own limit is one for each byte: an answer that comes in drops would never end.
            async with (
                asyncio.timeout(timeout_s),
                client.stream("GET", url, headers=headers, timeout=timeout_s) as answer,
            ):
                quote = await self._beginning(answer)
        except (TimeoutError, httpx2.TimeoutException):
            return Probe(healthy=False, words=f"GET {url} did not answer within {timeout_s:g} s")
        except httpx2.ConnectError:
            raise
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            return _broken(url, error)
        words = f"GET {url} answered {answer.status_code}: {quote}"
        return Probe(
            healthy=answer.status_code < httpx2.codes.BAD_REQUEST,
            words=words,
            release_id=answer.headers.get("x-delivery-release"),
            status=answer.status_code,
            refused=REFUSED_HEADER in answer.headers,
        )

    @staticmethod
    async def _beginning(answer: httpx2.Response) -> str:
        if answer.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
            return "(packed)"
        async for chunk in answer.aiter_raw(MAX_QUOTE):
            return chunk[:MAX_QUOTE].decode("utf-8", errors="replace").replace("\0", "\ufffd")
        return "(empty body)"


def _broken(url: str, error: Exception) -> Probe:
    return Probe(healthy=False, words=f"GET {url} failed: {type(error).__name__} {error}"[:MAX_QUOTE])
