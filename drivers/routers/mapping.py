"""From the desired traffic to what a router is told."""

from collections.abc import Mapping

from domain.routing import DesiredRelease, DesiredRoute, RoutingSnapshot
from drivers.routers.base import (
    DEFAULT_HEALTH_HOST,
    IDLE_TIMEOUT_S,
    Endpoint,
    HostRoute,
    Preview,
    ReleaseCluster,
    RoutingTable,
    WeightedRelease,
)


def routing_table(snapshot: RoutingSnapshot) -> RoutingTable:
    """The table of the snapshot, same generation."""
    by_id = {release.release_id: release for release in snapshot.releases}
    return RoutingTable(
        generation=snapshot.generation,
        clusters=tuple(_cluster(release) for release in snapshot.releases),
        routes=tuple(_route(route, by_id) for route in snapshot.routes),
        unreadable=snapshot.unreadable,
    )


def _cluster(release: DesiredRelease) -> ReleaseCluster:
    health = release.health
    return ReleaseCluster(
        release_id=release.release_id,
        endpoints=tuple(Endpoint(e.address, e.port) for e in release.endpoints),
        health_path=health.path,
        health_interval_s=health.interval,
        health_timeout_s=health.timeout,
        healthy_after=health.healthy_after,
        unhealthy_after=health.unhealthy_after,
        health_host=health.host or DEFAULT_HEALTH_HOST,
        reuse_connections=not release.closes_idle,
    )


def _route(route: DesiredRoute, releases: Mapping[str, DesiredRelease]) -> HostRoute:
    """A route has one pair of limits: while two releases share it, those of the more patient one."""
    named = [*(release_id for release_id, _ in route.shares), *(p.release_id for p in route.previews)]
    known = [releases[release_id] for release_id in named if release_id in releases]
    timeouts = [release.timeout for release in known]
    targets = tuple(WeightedRelease(release_id, weight) for release_id, weight in route.shares)
    return HostRoute(
        host=route.host,
        environment_id=route.environment_id,
        targets=targets,
        previews=tuple(Preview(p.release_id, p.token) for p in route.previews),
        sticky=route.sticky,
        timeout_s=None if None in timeouts else max((t for t in timeouts if t is not None), default=None),
        idle_timeout_s=max((release.idle_timeout for release in known), default=IDLE_TIMEOUT_S),
    )
