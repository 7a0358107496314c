"""Checks of rows before any file is written, for faults that Envoy would only log, or not report at all.

A table is never refused as a whole. A faulty row is left out, its host keeps its present routes, and its owner is
notified; no message names anything of other tenants.
"""

import ipaddress
from collections import Counter
from collections.abc import Collection, Container, Iterator, Mapping, Sequence

from domain import wire
from domain.routing import Endpoint, HostRoute, Preview, Rejection, ReleaseCluster, RoutingTable
from drivers.routers.envoy.readiness import keep_hosts

FULL = 100
Refused = Mapping[str, str]
"""Reasons why rows were refused: by the release of a cluster, or by the host of a route."""


def sift(old: RoutingTable, new: RoutingTable) -> tuple[RoutingTable, tuple[Rejection, ...]]:
    """The new table without invalid rows, and the rows left out."""
    clusters = _first_faults((c.release_id, _cluster_fault(c)) for c in new.clusters)
    twice = {release_id for release_id, count in Counter(c.release_id for c in new.clusters).items() if count > 1}
    clusters |= {release_id: f"release {release_id} is in the routing table twice" for release_id in twice}
    known = {c.release_id for c in new.clusters} - clusters.keys()
    hosts: dict[str, str] = {}
    routes: list[HostRoute] = []
    names: set[str] = set()
    # Older environments first: the first owner of a host keeps it.
    for route in sorted(new.routes, key=lambda r: (r.host, r.environment_id)):
        fault = _route_fault(route, known, clusters) or _taken(route, names)
        if fault:
            hosts.setdefault(route.host, fault)
        else:
            names |= {route.host, route.environment_id}
            routes.append(route)
    return leave_out(old, new, clusters=clusters, hosts=hosts, accepted=routes)


def leave_out(
    old: RoutingTable,
    new: RoutingTable,
    *,
    clusters: Refused,
    hosts: Refused,
    accepted: Sequence[HostRoute] | None = None,
) -> tuple[RoutingTable, tuple[Rejection, ...]]:
    """The new table without these rows. Hosts that lose theirs, or name one of the releases, keep their old routes."""
    if accepted is None:
        hosts = {**_naming(new.routes, clusters), **hosts}
        accepted = [r for r in new.routes if r.host not in hosts]
    # Compared by identity: two rows of one host may differ only in their owner.
    chosen = set(map(id, accepted))
    faulty = tuple(route for route in new.routes if id(route) not in chosen)
    rejections = [*new.unreadable, *_of_routes(faulty, hosts, clusters)]
    told = {release_id for one in rejections for release_id in one.release_ids}
    rejections += [Rejection(why, frozenset({r})) for r, why in clusters.items() if r not in told]
    if not rejections:
        return new, ()
    left = tuple(c for c in new.clusters if c.release_id not in clusters)
    table = RoutingTable(new.generation, left, tuple(sorted(accepted, key=lambda r: r.host)))
    lost = {one.host for one in rejections if one.host is not None}
    keeping = {route.host for route in _free(old, table) if route.host in lost}
    here = {c.release_id for c in left}
    return keep_hosts(old, table, keeping, here, generation=new.generation), tuple(rejections)


def _free(old: RoutingTable, table: RoutingTable) -> Iterator[HostRoute]:
    """Old routes that are compatible with the table: neither host nor environment belongs to another row by now."""
    taken = {name for route in table.routes for name in (route.host, route.environment_id)}
    known = {c.release_id for c in (*old.clusters, *table.clusters)}
    for route in old.routes:
        if not taken & {route.host, route.environment_id} and known.issuperset(route.named):
            yield route


def _naming(routes: Sequence[HostRoute], clusters: Refused) -> dict[str, str]:
    """Hosts that name a faulty release, with the fault."""
    return {r.host: clusters[name] for r in routes for name in r.named if name in clusters}


def _of_routes(routes: Sequence[HostRoute], hosts: Refused, clusters: Refused) -> Iterator[Rejection]:
    for route in routes:
        fault = next((clusters[name] for name in route.named if name in clusters), None) or hosts[route.host]
        yield Rejection(fault, frozenset(route.named), route.host)


def _first_faults(faults: Iterator[tuple[str, str | None]]) -> dict[str, str]:
    return {name: fault for name, fault in faults if fault is not None}


def _cluster_fault(cluster: ReleaseCluster) -> str | None:
    name = cluster.release_id
    if fault := wire.release_fault(name):
        return fault
    if fault := wire.path_fault(cluster.health_path):
        return f"the health path of release {name} {fault}"
    if fault := wire.authority_fault(cluster.health_host):
        return f"the health host of release {name} {fault}"
    for what, seconds in (("interval", cluster.health_interval_s), ("timeout", cluster.health_timeout_s)):
        if fault := wire.seconds_fault(seconds):
            return f"the health {what} of release {name} {fault}"
    if cluster.healthy_after < 1 or cluster.unhealthy_after < 1:
        return f"the health check of release {name} must ask for at least one answer"
    return next(filter(None, (_endpoint_fault(name, endpoint) for endpoint in cluster.endpoints)), None)


def _endpoint_fault(release_id: str, endpoint: Endpoint) -> str | None:
    address, port = endpoint.address, endpoint.port
    if endpoint.is_pipe:
        fault = wire.socket_fault(address)
        return f"the unix socket of release {release_id} {fault}" if fault else None
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return f"{wire.shown(address)} of release {release_id} is neither an IP address nor a unix socket's path"
    if not 0 < port <= wire.MAX_PORT:
        return f"port {port} of release {release_id} is not between 1 and {wire.MAX_PORT}"
    return None


def _route_fault(route: HostRoute, known: Container[str], clusters: Refused) -> str | None:
    if fault := wire.host_fault(route.host) or wire.environment_fault(route.environment_id):
        return fault
    if fault := _twice(f"target of {route.host}", [t.release_id for t in route.targets]):
        return fault
    if fault := _preview_fault(route.host, route.previews):
        return fault
    unknown = next((release_id for release_id in route.named if release_id not in known), None)
    if unknown is not None:
        return clusters.get(unknown) or (
            f"{route.host} is routed to release {wire.shown(unknown)}, which has no cluster in the table"
        )
    return _sticky_fault(route) or _limits_fault(route) or _weights_fault(route)


def _sticky_fault(route: HostRoute) -> str | None:
    if route.sticky is None:
        return None
    fault = wire.cookie_fault(route.sticky.name) or wire.seconds_fault(route.sticky.ttl_s)
    return f"the sticky cookie of {route.host}: {fault}" if fault else None


def _limits_fault(route: HostRoute) -> str | None:
    for what, seconds in (("timeout", route.timeout_s), ("idle_timeout", route.idle_timeout_s)):
        if seconds is not None and (fault := wire.seconds_fault(seconds)):
            return f"the {what} of {route.host} {fault}"
    return None


def _weights_fault(route: HostRoute) -> str | None:
    weights = [t.weight for t in route.targets]
    if min(weights, default=0) < 0 or sum(weights) not in (0, FULL):
        return f"the weights of {route.host} must add up to {FULL} (or all be 0), they are {weights}"
    return None


def _preview_fault(host: str, previews: Sequence[Preview]) -> str | None:
    """A token is a secret: no message shows one."""
    if fault := _twice(f"preview of {host}", [p.release_id for p in previews]):
        return fault
    faulty = [p.release_id for p in previews if not wire.is_token(p.token)]
    if faulty:
        return f"the preview token of release {wire.shown(faulty[0])} must be 8 to 64 letters, digits, - and _"
    if len({p.token for p in previews}) < len(previews):
        return f"two previews of {host} have the same token"
    return None


def _taken(route: HostRoute, names: Collection[str]) -> str | None:
    if route.host in names or route.environment_id in names:
        return f"{route.host} is in the routing table twice"
    return None


def _twice(noun: str, names: Sequence[str]) -> str | None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    return f"{noun} {wire.shown(twice[0])} is in the routing table twice" if twice else None
