"""Router drivers route each host's requests to instances, by weight."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from domain.errors import DependencyError
from domain.routing import Endpoint, Rejection, RoutingTable


@dataclass(frozen=True)
class EndpointHealth:
    """An endpoint as the router sees it: healthy by its own checks, and its requests in flight."""

    endpoint: Endpoint
    healthy: bool
    active_requests: int


@dataclass(frozen=True)
class TrafficCounters:
    """Counters of one release since the router started (`epoch`: changes when counters start again).

    Requests and errors are counted as clients see them, without the router's own health checks; `resets` are broken
    connections, including those of retried requests. `codes` are the responses from 400 on, by status.
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
    """The readiness that `apply` requires of releases that get traffic, and how long (`wait_s`, seconds) it waits.

    `every_endpoint`: all instances of a new release; else, and for a release that serves already, one is enough.
    """

    wait_s: float
    every_endpoint: bool = True


class HeldBackError(DependencyError):
    """Some releases are not ready for their traffic. The rest of the table was applied.

    `rejected`: further rows that were left out, as `Router.apply` returns it.
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
    """The caller holds the lock that makes it the only writer; the driver only applies whole tables.

    `apply` returns when the router has confirmed the table: clusters first, warm and healthy, then routes. It raises
    `DependencyError` when the router does not answer in time; the last good table then stays in force. A row that is
    invalid, or that the router refuses, is left out and returned: the routes of its host stay as they are, all others
    are applied. Applying the same generation again repairs what is missing and else changes nothing. An older
    generation is applied only `over` the mark that the caller read before it read the record: so a restored record is
    applied, and an outdated writer changes nothing. A release that is not ready holds up no other: its hosts stay as
    they are, the rest of the table is applied, and `HeldBackError` names it; the same table may then be applied again.
    Without `readiness` it waits for all instances as long as is sensible within `timeout_s`, and then for one of each
    release. Clusters and endpoints that are no longer used stay until `apply` has confirmed the routes. They are
    removed in the background after it has returned, never with a request in flight; `endpoint_health` shows when an
    endpoint is idle: nothing in flight, and nothing to come.
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
        """A text that identifies the applied table; cheap to read."""
        ...

    async def is_settled(self, generation: int) -> bool:
        """Whether the router runs this generation, which was applied last, and would run it after a restart."""
        ...

    async def applied_generation(self) -> int | None: ...

    async def endpoint_health(self, release_id: str) -> Sequence[EndpointHealth]: ...

    async def all_health(self) -> Mapping[str, Sequence[EndpointHealth]]:
        """As `endpoint_health` for all releases with one read."""
        ...

    async def counters(self, release_ids: Sequence[str]) -> Sequence[TrafficCounters]: ...

    async def close(self) -> None: ...
