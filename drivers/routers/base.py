"""Router drivers send each host's requests to instances, by weight."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self

from domain.errors import DependencyError
from domain.routing import Rejection, StickyCookie
from domain.wire import PIPE_PORT

DEFAULT_HEALTH_HOST = "localhost"
IDLE_TIMEOUT_S = 300.0


@dataclass(frozen=True, order=True)
class Endpoint:
    """Where one instance listens: an IP address, or the path of a unix socket, beside which stands `PIPE_PORT`."""

    address: str
    port: int

    @classmethod
    def pipe(cls, path: str) -> Self:
        return cls(path, PIPE_PORT)

    @property
    def is_pipe(self) -> bool:
        return self.address.startswith("/")


@dataclass(frozen=True)
class ReleaseCluster:
    """The instances of one release that may receive traffic, with its health check.

    `reuse_connections`: requests may share a connection, one after the other. Not with instances that close a
    connection shortly after an answer without saying so: a request that meets the closing is lost.
    """

    release_id: str
    endpoints: tuple[Endpoint, ...]
    health_path: str = "/"
    health_interval_s: float = 1.0
    health_timeout_s: float = 2.0
    healthy_after: int = 1
    unhealthy_after: int = 3
    health_host: str = DEFAULT_HEALTH_HOST
    reuse_connections: bool = True


@dataclass(frozen=True)
class WeightedRelease:
    """A share of a host's traffic; weights of one route add up to 100."""

    release_id: str
    weight: int


@dataclass(frozen=True)
class Preview:
    """A release that is reached by its secret token (in the header `PREVIEW_HEADER`), whatever its weight."""

    release_id: str
    token: str = field(repr=False)


@dataclass(frozen=True)
class HostRoute:
    """One exact host and where its requests go; `environment_id` names it in statistics.

    A request with a preview's token goes there, also where no target has a weight; everybody else, whoever has a
    wrong token included, goes by weight. With `sticky`, a client that keeps its cookie keeps its place in the order of
    the targets: while weights stand still it always meets the same release, and clients of the first target stay with
    it while its weight grows.

    `timeout_s`: seconds from the end of a request to the end of its answer, None for ever. `idle_timeout_s`: seconds
    in which nothing is sent either way. An answer that takes longer is cut, or 504 where it has not begun.
    """

    host: str
    environment_id: str
    targets: tuple[WeightedRelease, ...]
    previews: tuple[Preview, ...] = ()
    sticky: StickyCookie | None = None
    timeout_s: float | None = None
    idle_timeout_s: float = IDLE_TIMEOUT_S

    @property
    def named(self) -> tuple[str, ...]:
        """Every release of the route, with or without a weight."""
        return (*(t.release_id for t in self.targets), *(p.release_id for p in self.previews))

    @property
    def reached(self) -> frozenset[str]:
        """The releases that requests may be sent to."""
        return frozenset((*(t.release_id for t in self.targets if t.weight), *(p.release_id for p in self.previews)))


@dataclass(frozen=True)
class RoutingTable:
    """Everything the router shall do, whole. `generation` grows with every change.

    `unreadable` rows are rejected already; the routes of their hosts stay as they are.
    """

    generation: int
    clusters: tuple[ReleaseCluster, ...]
    routes: tuple[HostRoute, ...]
    unreadable: tuple[Rejection, ...] = ()


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
