"""What a table must be before any file is written: faults Envoy would only report in its log, or not at all."""

import ipaddress
import re
from collections import Counter
from collections.abc import Container, Sequence

from domain.errors import ErrorCode, TerminalError
from drivers.routers.base import HostRoute, Preview, ReleaseCluster, RoutingTable

COOKIE = re.compile(r"[A-Za-z0-9_-]{1,64}")
HOST = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
RELEASE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
TOKEN = re.compile(r"[A-Za-z0-9_-]{8,64}")
ENVIRONMENT_ID = re.compile(r"[A-Za-z0-9_.-]{1,128}")
MAX_HOST = 253
MAX_PORT = 65535
FULL = 100


def check_table(table: RoutingTable) -> None:
    """Raise `TerminalError(ROUTE_REJECTED)` naming the first fault."""
    for cluster in table.clusters:
        _check_cluster(cluster)
    known = Counter(c.release_id for c in table.clusters)
    _unique("release", known)
    _unique("host", Counter(r.host for r in table.routes))
    _unique("environment", Counter(r.environment_id for r in table.routes))
    for route in table.routes:
        _check_route(route, known.keys())


def _check_cluster(cluster: ReleaseCluster) -> None:
    if not RELEASE_ID.fullmatch(cluster.release_id):
        raise _rejected(f"release id {cluster.release_id[:80]!r} may have letters, digits, - and _ only, at most 64")
    if not cluster.health_path.startswith("/") or not cluster.health_path.isprintable() or " " in cluster.health_path:
        raise _rejected(f"health path {cluster.health_path[:80]!r} of release {cluster.release_id} is not a path")
    for endpoint in cluster.endpoints:
        try:
            ipaddress.ip_address(endpoint.address)
        except ValueError as error:
            raise _rejected(f"{endpoint.address[:80]!r} is not an IP address; endpoints need one") from error
        if not 0 < endpoint.port <= MAX_PORT:
            raise _rejected(f"port {endpoint.port} of release {cluster.release_id} is not between 1 and {MAX_PORT}")


def _check_route(route: HostRoute, known: Container[str]) -> None:
    if len(route.host) > MAX_HOST or not HOST.fullmatch(route.host):
        raise _rejected(f"{route.host[:80]!r} is not an exact host name in lower case; wildcards are not routed")
    if not ENVIRONMENT_ID.fullmatch(route.environment_id):
        raise _rejected(f"environment id {route.environment_id[:80]!r} has unusual characters")
    _unique(f"target of {route.host}", Counter(t.release_id for t in route.targets))
    _check_previews(route.host, route.previews)
    unknown = [release_id for release_id in route.named if release_id not in known]
    if unknown:
        raise _rejected(f"{route.host} is routed to release {unknown[0]}, which has no cluster in the table")
    if route.sticky and not COOKIE.fullmatch(route.sticky.name):
        raise _rejected(f"the cookie name {route.sticky.name[:80]!r} of {route.host} has unusual characters")
    weights = [t.weight for t in route.targets]
    if min(weights, default=0) < 0 or sum(weights) not in (0, FULL):
        raise _rejected(f"the weights of {route.host} must add up to {FULL} (or all be 0), they are {weights}")


def _check_previews(host: str, previews: Sequence[Preview]) -> None:
    """A token is a secret: no message shows one."""
    _unique(f"preview of {host}", Counter(p.release_id for p in previews))
    faulty = [p.release_id for p in previews if not TOKEN.fullmatch(p.token)]
    if faulty:
        raise _rejected(f"the preview token of release {faulty[0]} must be 8 to 64 letters, digits, - and _")
    if len({p.token for p in previews}) < len(previews):
        raise _rejected(f"two previews of {host} have the same token")


def _unique(noun: str, counts: Counter[str]) -> None:
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise _rejected(f"{noun} {twice[0][:80]} is in the routing table twice")


def _rejected(message: str) -> TerminalError:
    return TerminalError(message, code=ErrorCode.ROUTE_REJECTED)
