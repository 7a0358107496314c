"""Renders routing tables as Envoy resources. Pure: the same input gives the same text and version."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from domain.routing import DEFAULT_HEALTH_HOST, Endpoint, HostRoute, ReleaseCluster, RoutingTable
from drivers.routers.envoy.bootstrap import ROUTE_CONFIG, TYPE
from drivers.routers.envoy.files import to_json
from drivers.routers.envoy.virtual_hosts import virtual_host

KEPT = 4096
"""Number of clusters whose text is cached: they never change, and a table of hundreds takes 10 ms to render."""
VERSION = re.compile(r'\{"version_info":"([0-9]+\.[0-9a-f]+)"')
CONNECT_TIMEOUT_S = 2.0
UPSTREAM_IDLE_S = 1.0
"""Shorter than any server's keep-alive (uvicorn, Node 5 s, gunicorn 2 s): no request meets a closing connection."""


@dataclass(frozen=True)
class Rendered:
    """One file: its text, and the version that Envoy reports once it has applied it."""

    text: str
    version: str


@lru_cache(maxsize=KEPT)
def cluster_name(cluster: ReleaseCluster) -> str:
    """`<release>~<hash of its endpoints and health check>`: a name always means the same content.

    So an Envoy cluster never changes. Different endpoints are a different cluster, warmed beside the old one, which
    drains as a whole; and the requests in flight of every endpoint stay visible to the end.
    """
    # A hash of the table's values and not of the rendered text: names must survive a new version of this file. Numbers
    # are normalized, because 1 comes back from the state file as 1.0.
    content = to_json(
        [
            [[e.address, e.port] for e in sorted(cluster.endpoints)],
            [cluster.health_path, float(cluster.health_interval_s), float(cluster.health_timeout_s)],
            [cluster.healthy_after, cluster.unhealthy_after],
            *([[cluster.health_host]] if cluster.health_host != DEFAULT_HEALTH_HOST else []),
            *([["single"]] if not cluster.reuse_connections else []),
        ]
    )
    return f"{cluster.release_id}~{hashlib.sha256(content.encode()).hexdigest()[:12]}"


def release_of(name: str) -> str:
    """The release at the beginning of a cluster's name."""
    return name.rpartition("~")[0]


def render_clusters(generation: int, clusters: Iterable[ReleaseCluster]) -> Rendered:
    """The clusters, each once."""
    by_name = {cluster_name(c): c for c in clusters}
    return _response(generation, [_cluster_text(c) for _, c in sorted(by_name.items())])


def render_routes(table: RoutingTable) -> Rendered:
    """The routes. A host without any reachable release is left out, so it answers like an unknown one."""
    names = {c.release_id: cluster_name(c) for c in table.clusters}
    bridged = _bridged(table.clusters)
    live = sorted((r for r in table.routes if r.reached), key=lambda r: r.host)
    resource = {
        "@type": TYPE + "envoy.config.route.v3.RouteConfiguration",
        "name": ROUTE_CONFIG,
        "ignore_port_in_host_matching": True,
        "virtual_hosts": [virtual_host(route, names, bridged) for route in live],
    }
    return _response(table.generation, [to_json(resource)])


def cluster_print(cluster: ReleaseCluster) -> str:
    """A fingerprint of everything Envoy gets for this cluster."""
    return _print(_cluster_text(cluster))


def route_print(table: RoutingTable, route: HostRoute) -> str:
    """A fingerprint of a route of the table."""
    names = {c.release_id: cluster_name(c) for c in table.clusters if c.release_id in route.named}
    return _print(to_json(virtual_host(route, names, _bridged(table.clusters))))


def _bridged(clusters: Iterable[ReleaseCluster]) -> frozenset[str]:
    """Releases with an instance behind a unix socket."""
    return frozenset(c.release_id for c in clusters if any(e.is_pipe for e in c.endpoints))


def _print(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def empty_clusters() -> str:
    """No clusters, generation 0."""
    return _response(0, []).text


def empty_routes() -> str:
    """No hosts, generation 0."""
    return render_routes(RoutingTable(generation=0, clusters=(), routes=())).text


def version_in(head: str) -> str:
    """The version at the beginning of a file's text; empty if the file is not ours."""
    found = VERSION.match(head)
    return found[1] if found else ""


def same_content(one: str, other: str) -> bool:
    """Whether two versions have the same content, whatever their generations."""
    return bool(one) and one.partition(".")[2] == other.partition(".")[2]


def generation_of(version: str) -> int | None:
    """The generation in a version, None if it is not ours."""
    head = version.partition(".")[0]
    return int(head) if head.isdecimal() else None


def _response(generation: int, resources: Sequence[str]) -> Rendered:
    # The content's hash tells two writes of one generation apart, so a confirmation is always for this very file.
    content = ",".join(text.strip() for text in resources)
    version = f"{generation}.{hashlib.sha256(content.encode()).hexdigest()[:12]}"
    return Rendered(f'{{"version_info":"{version}","resources":[{content}]}}\n', version)


@lru_cache(maxsize=KEPT)
def _cluster_text(cluster: ReleaseCluster) -> str:
    return to_json(_cluster(cluster_name(cluster), cluster))


def _cluster(name: str, cluster: ReleaseCluster) -> dict[str, Any]:
    return {
        "@type": TYPE + "envoy.config.cluster.v3.Cluster",
        "name": name,
        # Statistics of all clusters of a release are added up, whatever endpoints they had.
        "alt_stat_name": cluster.release_id,
        "type": "STATIC",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": _hosts(cluster)}]},
        "connect_timeout": f"{CONNECT_TIMEOUT_S:g}s",
        "lb_policy": "LEAST_REQUEST",
        # No panic mode: an endpoint that fails its checks gets nothing, since its port may belong to another process by
        # now.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "health_checks": [_health_check(cluster)],
        "circuit_breakers": {"thresholds": [_thresholds()]},
        "typed_extension_protocol_options": _http_options(cluster),
    }


def _hosts(cluster: ReleaseCluster) -> list[dict[str, Any]]:
    return [{"endpoint": {"address": _address(endpoint)}} for endpoint in sorted(cluster.endpoints)]


def _address(endpoint: Endpoint) -> dict[str, Any]:
    if endpoint.is_pipe:
        return {"pipe": {"path": endpoint.address}}
    return {"socket_address": {"address": endpoint.address, "port_value": endpoint.port}}


def _thresholds() -> dict[str, Any]:
    retries = {"budget_percent": {"value": 20}, "min_retry_concurrency": 10}
    return {"max_connections": 2048, "max_pending_requests": 4096, "max_requests": 8192, "retry_budget": retries}


def _http_options(cluster: ReleaseCluster) -> dict[str, Any]:
    name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    single = {} if cluster.reuse_connections else {"max_requests_per_connection": 1}
    options = {
        "@type": TYPE + name,
        "explicit_http_config": {"http_protocol_options": {}},
        "common_http_protocol_options": {"idle_timeout": f"{UPSTREAM_IDLE_S:g}s", **single},
    }
    return {name: options}


def _health_check(cluster: ReleaseCluster) -> dict[str, Any]:
    interval = f"{cluster.health_interval_s:.3f}s"
    return {
        "timeout": f"{cluster.health_timeout_s:.3f}s",
        "interval": interval,
        "no_traffic_interval": interval,
        "healthy_threshold": cluster.healthy_after,
        "unhealthy_threshold": cluster.unhealthy_after,
        "http_health_check": {
            "host": cluster.health_host,
            "path": cluster.health_path,
            "expected_statuses": [{"start": 200, "end": 400}],
            # Without these a single 500 ejects the endpoint at once, whatever unhealthy_threshold says.
            "retriable_statuses": [{"start": 100, "end": 200}, {"start": 400, "end": 600}],
        },
    }
