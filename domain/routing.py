"""The wanted traffic: read from the database at one moment, brought into a router."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from domain.wire import PIPE_PORT

PREVIEW_HEADER = "x-delivery-preview"
"""Carries a preview's token; it never reaches a service."""
REFUSED_HEADER = "x-delivery-refused"
"""In the answer of a bridge behind which nobody listens (drivers/bridge/bridge.c)."""
DEFAULT_HEALTH_HOST = "localhost"
IDLE_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class StickyCookie:
    """A cookie by which users stay with the release they met. `ttl_s`: seconds it lives."""

    name: str
    ttl_s: float


@dataclass(frozen=True)
class Rejection:
    """A row that is left out, so that everybody else's are applied.

    Attributes:
        message: why, for the row's owner; it names nothing of anybody else.
        release_ids: the releases whose traffic stays where it is.
        host: whose routes stay as they are; None: a release that no route leads to.
    """

    message: str
    release_ids: frozenset[str]
    host: str | None = None


def rejection_of(rejections: Iterable[Rejection], release_ids: Iterable[str]) -> Rejection | None:
    """The first that concerns one of these releases."""
    wanted = frozenset(release_ids)
    return next((one for one in rejections if one.release_ids & wanted), None)


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
