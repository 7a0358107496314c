"""Envoy's admin interface over its unix socket: applied versions, endpoint health, counters."""

import asyncio
import re
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from domain.errors import DependencyError
from domain.routing import Endpoint
from drivers.routers.envoy.bootstrap import ROUTE_CONFIG, STAT_PREFIX

ANSWER_LIMIT_S = 5.0
MOST_NAMED = 100
"""Maximum number of clusters in one request; for more, reading all is cheaper."""
SAME_PROCESS_S = 3.0
"""Two estimates of one process's start differ by less. A process that lived shorter has counted nothing relevant."""
CDS = "cluster_manager.cds"
COUNTED = "upstream_rq_(completed|[45](xx|[0-9]{2})|rx_reset|time)|upstream_cx_destroy_remote_with_active_rq"
RDS = f"http.{STAT_PREFIX}.rds.{ROUTE_CONFIG}"


@dataclass(frozen=True)
class Versions:
    """The versions of both watched files that Envoy runs; empty before it has read one."""

    clusters: str
    routes: str


@dataclass(frozen=True)
class HostSeen:
    """One endpoint of a cluster as Envoy sees it. `healthy`: its checks pass."""

    endpoint: Endpoint
    healthy: bool
    active_requests: int


@dataclass(frozen=True)
class ReleaseStats:
    """Raw counters of one release; `latency` is cumulative by upper bound in ms."""

    counters: Mapping[str, int] = field(default_factory=dict)
    latency: Mapping[float, int] = field(default_factory=dict)


class Admin:
    """Read-only requests, each limited to five seconds, over persistent connections.

    Every method raises `DependencyError` when Envoy does not answer.
    """

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._client: httpx2.AsyncClient | None = None
        self._began: float | None = None  # start of the Envoy process, by our monotonic clock
        self._started = ""
        self._loop: asyncio.AbstractEventLoop | None = None

    async def close(self) -> None:
        """Close the connections; the next read opens one again."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def versions(self) -> Versions:
        """The versions that Envoy runs. Takes a millisecond, however many clusters there are."""
        stats = {s["name"]: str(s["value"]) for s in await self._stats(type="TextReadouts") if "name" in s}
        return Versions(stats.get(f"{CDS}.version_text", ""), stats.get(f"{RDS}.version_text", ""))

    async def rejected(self, prefix: str) -> int:
        """Number of refused updates of the file behind `prefix` (`CDS` or `RDS`) since Envoy started."""
        pattern = f"^{re.escape(prefix)}\\.update_rejected$"
        return next((int(s["value"]) for s in await self._stats(type="Counters", filter=pattern)), 0)

    async def hosts(
        self, clusters: Collection[str] = (), *, release_id: str | None = None
    ) -> dict[str, list[HostSeen]]:
        """Endpoints by cluster name; a cluster that is still warming up is missing.

        Args:
            clusters: names of the clusters to read; none: all.
            release_id: only the clusters of this release.
        """
        query = {"format": "json"}
        if release_id is not None:
            query["filter"] = f"^{re.escape(release_id)}~"
        elif 0 < len(clusters) <= MOST_NAMED:
            query["filter"] = f"^({'|'.join(map(re.escape, sorted(clusters)))})$"
        document = await self._get("/clusters", **query)
        statuses = document.get("cluster_statuses", [])
        return {c["name"]: [_host(h) for h in c.get("host_statuses", [])] for c in statuses}

    async def started(self) -> str:
        """When this Envoy process started, and with it its counters.

        Only the dump of the whole configuration contains it. That grows with every cluster, so it is read once per
        Envoy process: a changed uptime (in whole seconds) shows a new process.
        """
        uptime = (await self._get("/server_info")).get("uptime_current_epoch", "")
        began = time.monotonic() - float(str(uptime).removesuffix("s") or 0)
        if self._began is None or abs(began - self._began) > SAME_PROCESS_S:
            document = await self._get("/config_dump")
            self._started = next((str(c["last_updated"]) for c in document.get("configs", []) if "bootstrap" in c), "")
            self._began = began
        return self._started

    async def releases(self, release_ids: Sequence[str]) -> dict[str, ReleaseStats]:
        """Counters and latency of the releases; one unknown to Envoy is missing."""
        names = "|".join(re.escape(release_id) for release_id in release_ids)
        pattern = f"^cluster\\.({names})\\.({COUNTED})$"
        entries = await self._stats(filter=pattern, histogram_buckets="cumulative")
        return _by_release(entries)

    async def _stats(self, **query: str) -> list[dict[str, Any]]:
        document = await self._get("/stats", format="json", **query)
        entries: list[dict[str, Any]] = document.get("stats", [])
        return entries

    async def _get(self, path: str, **query: str) -> dict[str, Any]:
        try:
            answer = await self._ask(path, query)
            answer.raise_for_status()
            document: dict[str, Any] = answer.json()
        except (httpx2.HTTPError, OSError, ValueError) as error:
            raise DependencyError(
                f"the router's admin interface at {self._socket} does not answer; is Envoy running? ({error!r})"
            ) from error
        return document

    async def _ask(self, path: str, query: Mapping[str, str]) -> httpx2.Response:
        client = self._connected()
        try:
            return await client.get(path, params=query)
        except httpx2.TimeoutException:
            raise
        except httpx2.TransportError:
            return await client.get(path, params=query)  # the connection belonged to an Envoy that is gone

    def _connected(self) -> httpx2.AsyncClient:
        """The client of the running loop; creating one takes longer than a request."""
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            transport = httpx2.AsyncHTTPTransport(uds=str(self._socket), verify=False)  # no TLS here
            self._client = httpx2.AsyncClient(
                transport=transport, base_url="http://envoy", timeout=ANSWER_LIMIT_S, trust_env=False
            )
            self._loop = loop
        return self._client


def _host(status: Mapping[str, Any]) -> HostSeen:
    health = status.get("health_status", {})
    active = next((int(s.get("value", 0)) for s in status.get("stats", []) if s["name"] == "rq_active"), 0)
    # Every other entry (failed_active_health_check, pending_active_hc, ...) is present only if it indicates a problem.
    healthy = not any(complaint for name, complaint in health.items() if name != "eds_health_status")
    return HostSeen(_endpoint(status["address"]), healthy=healthy, active_requests=active)


def _endpoint(address: Mapping[str, Any]) -> Endpoint:
    if "pipe" in address:
        return Endpoint.pipe(address["pipe"]["path"])
    place = address["socket_address"]
    return Endpoint(place["address"], int(place["port_value"]))


def _by_release(entries: Sequence[Mapping[str, Any]]) -> dict[str, ReleaseStats]:
    counters: dict[str, dict[str, int]] = {}
    latency: dict[str, dict[float, int]] = {}
    for entry in entries:
        if "histograms" in entry:
            for histogram in entry["histograms"]:
                release_id, _ = _split(histogram["name"])
                latency[release_id] = {float(b["upper_bound"]): int(b["cumulative"]) for b in histogram["buckets"]}
        else:
            release_id, name = _split(entry["name"])
            counters.setdefault(release_id, {})[name] = int(entry["value"])
    return {r: ReleaseStats(counters.get(r, {}), latency.get(r, {})) for r in counters | latency}


def _split(stat: str) -> tuple[str, str]:
    """Split `cluster.<release>.<name>`; release ids contain no dots."""
    _, release_id, name = stat.split(".", 2)
    return release_id, name
