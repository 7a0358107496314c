"""What stays as it was when a release that is to get traffic is not able to."""

from domain.routing import Endpoint, HostRoute, ReleaseCluster, RoutingTable, WeightedRelease
from drivers.routers.envoy.readiness import hold_back


def _table(generation: int, ports: dict[str, int], **weights: int) -> RoutingTable:
    clusters = tuple(ReleaseCluster(name, (Endpoint("127.0.0.1", port),)) for name, port in ports.items())
    targets = tuple(WeightedRelease(name, weight) for name, weight in weights.items())
    return RoutingTable(generation, clusters, (HostRoute("shop.localhost", "shop", targets),))


def _ports(table: RoutingTable) -> dict[str, int]:
    return {cluster.release_id: cluster.endpoints[0].port for cluster in table.clusters}


def test_a_stable_side_that_moved_is_not_held_back_by_a_broken_canary() -> None:
    """Both were started anew elsewhere; only the canary does not come up."""
    old = _table(1, {"stable": 9001, "canary": 9002}, canary=5, stable=95)
    new = _table(3, {"stable": 9011, "canary": 9012}, canary=5, stable=95)
    held = hold_back(old, new, {"canary"})
    assert held.generation == 2
    assert _ports(held) == {"stable": 9011, "canary": 9002}


def test_what_loses_its_traffic_was_not_looked_at_and_stays() -> None:
    old = _table(1, {"stable": 9001}, stable=100)
    new = _table(3, {"stable": 9011, "new": 9002}, new=100)
    held = hold_back(old, new, {"new"})
    assert held.routes == old.routes
    assert _ports(held)["stable"] == 9001
