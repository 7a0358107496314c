"""From the desired traffic to what a router is told."""

from domain.routing import DesiredRelease, DesiredRoute, RoutingSnapshot
from drivers.routers.base import Endpoint, HostRoute, Preview, ReleaseCluster, RoutingTable, WeightedRelease


def routing_table(snapshot: RoutingSnapshot) -> RoutingTable:
    """The table of the snapshot, same generation."""
    return RoutingTable(
        generation=snapshot.generation,
        clusters=tuple(_cluster(release) for release in snapshot.releases),
        routes=tuple(_route(route) for route in snapshot.routes),
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
    )


def _route(route: DesiredRoute) -> HostRoute:
    targets = tuple(WeightedRelease(release_id, weight) for release_id, weight in route.shares)
    return HostRoute(
        host=route.host,
        environment_id=route.environment_id,
        targets=targets,
        previews=tuple(Preview(p.release_id, p.token) for p in route.previews),
        sticky=route.sticky,
    )
