"""Routing tables as Envoy resources. Pure: the same input renders the same text and version."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from drivers.routers.base import Endpoint, HostRoute, ReleaseCluster
from drivers.routers.envoy.bootstrap import ROUTE_CONFIG, TYPE, watched_file
from drivers.routers.envoy.files import ConfigFolder, to_json

RELEASE_HEADER = "x-delivery-release"
RETRY_ON = "connect-failure,refused-stream,reset-before-request"
ROUTE_TIMEOUT_S = 60.0
CONNECT_TIMEOUT_S = 2.0
UPSTREAM_IDLE_S = 1.0
"""Shorter than any server's keep-alive (uvicorn and Node 5 s, gunicorn 2 s): Envoy lets go of an idle connection
before the instance does, so a request never meets one that is just being closed."""


@dataclass(frozen=True)
class Rendered:
    """One file: its text, and the version Envoy will show once it has taken it."""

    text: str
    version: str

    @property
    def digest(self) -> str:
        """The content's part of the version."""
        return self.version.partition(".")[2]


def render_clusters(generation: int, clusters: Sequence[ReleaseCluster], folder: ConfigFolder) -> Rendered:
    """The clusters, each pointing to its own file of endpoints."""
    return _response(generation, [_cluster(c, folder) for c in sorted(clusters, key=lambda c: c.release_id)])


def render_endpoints(
    generation: int, release_id: str, serving: Sequence[Endpoint], draining: Sequence[Endpoint] = ()
) -> Rendered:
    """One release's endpoints. Draining ones get no new requests, but stay visible until theirs are done."""
    hosts = [_host(endpoint, "HEALTHY") for endpoint in sorted(serving)]
    hosts += [_host(endpoint, "DRAINING") for endpoint in sorted(draining)]
    kind = "envoy.config.endpoint.v3.ClusterLoadAssignment"
    resource = {"@type": TYPE + kind, "cluster_name": release_id, "endpoints": [{"lb_endpoints": hosts}]}
    return _response(generation, [resource])


def render_routes(generation: int, routes: Sequence[HostRoute], timeout_s: float = ROUTE_TIMEOUT_S) -> Rendered:
    """The routes. A host without any weight is left out, so it answers like an unknown one."""
    live = sorted((r for r in routes if any(t.weight for t in r.targets)), key=lambda r: r.host)
    resource = {
        "@type": TYPE + "envoy.config.route.v3.RouteConfiguration",
        "name": ROUTE_CONFIG,
        "ignore_port_in_host_matching": True,
        "virtual_hosts": [_virtual_host(route, timeout_s) for route in live],
    }
    return _response(generation, [resource])


def empty_clusters() -> str:
    """No cluster at all, generation 0."""
    return _response(0, []).text


def empty_routes() -> str:
    """No host at all, generation 0."""
    return render_routes(0, ()).text


def generation_of(version: str) -> int | None:
    """The generation in a version, None when it is not one of ours."""
    head = version.partition(".")[0]
    return int(head) if head.isdecimal() else None


def digest_in(text: str | None) -> str | None:
    """The content's digest in a file written earlier, None when it is missing or not one of ours."""
    found = re.search(r'"version_info":"\d+\.([0-9a-f]+)"', text or "")
    return found[1] if found else None


def _response(generation: int, resources: list[dict[str, Any]]) -> Rendered:
    # The content's hash tells two writes of one generation apart, so a confirmation is always of this very file.
    digest = hashlib.sha256(to_json(resources).encode()).hexdigest()[:12]
    version = f"{generation}.{digest}"
    return Rendered(to_json({"version_info": version, "resources": resources}), version)


def _host(endpoint: Endpoint, status: str) -> dict[str, Any]:
    address = {"socket_address": {"address": endpoint.address, "port_value": endpoint.port}}
    return {"endpoint": {"address": address}, "health_status": status}


def _cluster(cluster: ReleaseCluster, folder: ConfigFolder) -> dict[str, Any]:
    return {
        "@type": TYPE + "envoy.config.cluster.v3.Cluster",
        "name": cluster.release_id,
        "type": "EDS",
        "eds_cluster_config": {"eds_config": watched_file(folder.endpoints(cluster.release_id))},
        "connect_timeout": f"{CONNECT_TIMEOUT_S:g}s",
        "lb_policy": "LEAST_REQUEST",
        # An endpoint taken out of its file goes at once, healthy or not; it was drained before.
        "ignore_health_on_host_removal": True,
        # No panic mode: an endpoint that fails its checks gets nothing, for its port may be somebody else's by now.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}, "ignore_new_hosts_until_first_hc": True},
        "health_checks": [_health_check(cluster)],
        "circuit_breakers": {"thresholds": [_thresholds()]},
        "typed_extension_protocol_options": _http_options(),
    }


def _thresholds() -> dict[str, Any]:
    retries = {"budget_percent": {"value": 20}, "min_retry_concurrency": 10}
    return {"max_connections": 2048, "max_pending_requests": 4096, "max_requests": 8192, "retry_budget": retries}


def _http_options() -> dict[str, Any]:
    name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    options = {
        "@type": TYPE + name,
        "explicit_http_config": {"http_protocol_options": {}},
        "common_http_protocol_options": {"idle_timeout": f"{UPSTREAM_IDLE_S:g}s"},
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
            "host": "localhost",
            "path": cluster.health_path,
            "expected_statuses": [{"start": 200, "end": 400}],
            # Without these a single 500 takes the endpoint out at once, whatever unhealthy_threshold says.
            "retriable_statuses": [{"start": 100, "end": 200}, {"start": 400, "end": 600}],
        },
    }


def _virtual_host(route: HostRoute, timeout_s: float) -> dict[str, Any]:
    weights = [_weight(t.release_id, t.weight) for t in route.targets if t.weight]
    action = {
        "weighted_clusters": {"clusters": weights},
        "timeout": f"{timeout_s:g}s",
        "retry_policy": _retries(),
    }
    return {
        "name": route.environment_id,
        "domains": [route.host],
        "routes": [{"match": {"prefix": "/"}, "route": action}],
    }


def _weight(release_id: str, weight: int) -> dict[str, Any]:
    header = {
        "header": {"key": RELEASE_HEADER, "value": release_id},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }
    return {"name": release_id, "weight": weight, "response_headers_to_add": [header]}


def _retries() -> dict[str, Any]:
    predicate = "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
    other_host = {"name": "envoy.retry_host_predicates.previous_hosts", "typed_config": {"@type": TYPE + predicate}}
    return {
        "retry_on": RETRY_ON,
        "num_retries": 2,
        "retry_back_off": {"base_interval": "0.025s", "max_interval": "0.250s"},
        "retry_host_predicate": [other_host],
        "host_selection_retry_max_attempts": "3",
    }
