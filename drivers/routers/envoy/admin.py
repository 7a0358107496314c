"""Envoy's admin interface over its unix socket: what Envoy has taken, how it sees endpoints, what it counted."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from domain.errors import DependencyError
from drivers.routers.base import Endpoint
from drivers.routers.envoy.bootstrap import ROUTE_CONFIG, STAT_PREFIX

ANSWER_LIMIT_S = 5.0
CDS = "cluster_manager.cds"
COUNTED = "upstream_rq_(completed|5xx|rx_reset|time)|upstream_cx_destroy_remote_with_active_rq"
RDS = f"http.{STAT_PREFIX}.rds.{ROUTE_CONFIG}"


@dataclass(frozen=True)
class Intake:
    """What Envoy made of one watched file: the version it runs, and how many updates it refused since it started."""

    version: str
    rejected: int


@dataclass(frozen=True)
class HostSeen:
    """One endpoint of a cluster as Envoy sees it. `healthy`: it passes its checks."""

    endpoint: Endpoint
    healthy: bool
    active_requests: int


@dataclass(frozen=True)
class ReleaseStats:
    """Raw counters of one release; `latency` is cumulative by upper bound in ms."""

    counters: Mapping[str, int] = field(default_factory=dict)
    latency: Mapping[float, int] = field(default_factory=dict)


class Admin:
    """Reads only, each at most five seconds.

    Every method raises `DependencyError` when Envoy does not answer.
    """

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def intake(self, prefix: str) -> Intake:
        """How the file behind the statistics `prefix` (`CDS` or `RDS`) was taken."""
        pattern = f"^{re.escape(prefix)}\\.(version_text|update_rejected)$"
        stats = {s["name"]: s["value"] for s in await self._stats(pattern) if "name" in s}
        return Intake(str(stats.get(f"{prefix}.version_text", "")), int(stats.get(f"{prefix}.update_rejected", 0)))

    async def hosts(self) -> dict[str, list[HostSeen]]:
        """All endpoints by the cluster's name; a cluster that still warms up is not there."""
        document = await self._get("/clusters", format="json")
        statuses = document.get("cluster_statuses", [])
        return {c["name"]: [_host(h) for h in c.get("host_statuses", [])] for c in statuses}

    async def started(self) -> str:
        """When this Envoy process read its bootstrap: its counters began then."""
        document = await self._get("/config_dump")
        return next((str(c["last_updated"]) for c in document.get("configs", []) if "bootstrap" in c), "")

    async def releases(self, release_ids: Sequence[str]) -> dict[str, ReleaseStats]:
        """Counters and latency of the releases; one that Envoy does not know is missing."""
        names = "|".join(re.escape(release_id) for release_id in release_ids)
        pattern = f"^cluster\\.({names})\\.({COUNTED})$"
        entries = await self._stats(pattern, histogram_buckets="cumulative")
        return _by_release(entries)

    async def _stats(self, pattern: str, **query: str) -> list[dict[str, Any]]:
        document = await self._get("/stats", format="json", filter=pattern, **query)
        entries: list[dict[str, Any]] = document.get("stats", [])
        return entries

    async def _get(self, path: str, **query: str) -> dict[str, Any]:
        transport = httpx2.AsyncHTTPTransport(uds=str(self._socket), verify=False)  # no TLS here
        try:
            async with httpx2.AsyncClient(
                transport=transport, base_url="http://envoy", timeout=ANSWER_LIMIT_S, trust_env=False
            ) as client:
                answer = await client.get(path, params=query)
                answer.raise_for_status()
                document: dict[str, Any] = answer.json()
                return document
        except (httpx2.HTTPError, OSError, ValueError) as error:
            raise DependencyError(
                f"the router's admin interface at {self._socket} does not answer; is Envoy running? ({error!r})"
            ) from error


def _host(status: Mapping[str, Any]) -> HostSeen:
    address = status["address"]["socket_address"]
    health = status.get("health_status", {})
    active = next((int(s.get("value", 0)) for s in status.get("stats", []) if s["name"] == "rq_active"), 0)
    # Every other entry (failed_active_health_check, pending_active_hc, ...) is there only when it is a complaint.
    healthy = not any(complaint for name, complaint in health.items() if name != "eds_health_status")
    endpoint = Endpoint(address["address"], int(address["port_value"]))
    return HostSeen(endpoint, healthy=healthy, active_requests=active)


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
    """`cluster.<release>.<name>` in its two parts; release ids have no dots."""
    _, release_id, name = stat.split(".", 2)
    return release_id, name
