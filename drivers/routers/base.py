"""Router drivers send each host's requests to instances, by weight."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from domain.errors import DependencyError
from domain.routing import Endpoint, Rejection, RoutingTable


@dataclass(frozen=True)
class EndpointHealth:
    """How the router sees one endpoint: healthy by its own checks, and requests in flight there."""

    endpoint: Endpoint
    healthy: bool
    active_requests: int


@dataclass(frozen=True)
class TrafficCounters:
    """Counters of one release since the router started (`epoch`: changes when counters begin anew).

    Requests and errors are counted as clients met them, without the router's own health checks; `resets` are broken
    connections, those of a request that was tried again included. `codes` are the answers of 400 and above, one by one.
    `latency_buckets` are cumulative counts by upper bound in milliseconds.
    """

    release_id: str
    epoch: str
    requests: int
    errors_5xx: int
    resets: int
    latency_buckets: Mapping[float, int]
    errors_4xx: int = 0
    codes: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class ReadinessRule:
    """What `apply` asks of releases that are to get traffic, and how long (`wait_s`, seconds) it waits for that.

    `every_endpoint`: all instances, where they are new; of a release that serves already, or otherwise, one is enough.
    """

    wait_s: float
    every_endpoint: bool = True


class HeldBackError(DependencyError):
    """Some releases cannot take the traffic they are to have; everything else of the table was applied.

    `rejected`: what was left out besides, as `Router.apply` returns it.
    """

    def __init__(self, release_ids: Sequence[str], rejected: Sequence[Rejection] = ()) -> None:
        super().__init__(
            f"no traffic was moved: release {', '.join(release_ids[:5])} has no instance that passes the router's "
            "health check",
            details={"release_ids": list(release_ids[:100])},
        )
        self.release_ids = frozenset(release_ids)
        self.rejected = tuple(rejected)


class Router(Protocol):
    """The one writer is whoever holds the caller's lock; the driver itself only applies whole tables.

    `apply` returns when the router has confirmed the table: clusters first, warm and healthy, then routes. It raises
    `DependencyError` when the router does not answer in time; the last good table goes on working then.
    A row that makes no sense, or that the router refuses, is left out and returned: the routes of its host stay as they
    are, all others are applied. Applying the same generation again makes good what is missing of it, else changes
    nothing. An older one is applied only `over` the very mark that the caller read before it read the record: so a
    record that was restored is applied, and a writer that was overtaken changes nothing.
    A release that cannot take traffic holds up nobody else: its hosts stay as they are, the rest of the table is
    applied, and `HeldBackError` names it; the same table may then be applied again. Without `readiness` it waits for
    all instances as long as is sensible within `timeout_s`, and then for one of each release.
    Clusters and endpoints that are no longer wanted stay until `apply` has confirmed the routes. They are removed on
    their own some time after it has returned, never with a request in flight; `endpoint_health` tells when an endpoint
    is idle: nothing in flight, and nothing will come.
    """

    async def apply(
        self,
        table: RoutingTable,
        *,
        timeout_s: float = 15,
        readiness: ReadinessRule | None = None,
        over: str | None = None,
    ) -> Sequence[Rejection]: ...

    async def mark(self) -> str:
        """What is applied, as a text that changes with it; costs next to nothing."""
        ...

    async def is_settled(self, generation: int) -> bool:
        """Whether the router runs what was applied last, that is this generation, and would after a restart."""
        ...

    async def applied_generation(self) -> int | None: ...

    async def endpoint_health(self, release_id: str) -> Sequence[EndpointHealth]: ...

    async def all_health(self) -> Mapping[str, Sequence[EndpointHealth]]:
        """The same of every release at once: one look, however many there are."""
        ...

    async def counters(self, release_ids: Sequence[str]) -> Sequence[TrafficCounters]: ...

    async def close(self) -> None: ...
