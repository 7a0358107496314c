"""The desired traffic: one snapshot from the database, applied to a router."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from domain.wire import PIPE_PORT

PREVIEW_HEADER = "x-delivery-preview"
"""The request header with a preview's token; it never reaches a service."""
REFUSED_HEADER = "x-delivery-refused"
"""The response header of a bridge without a listener behind it (drivers/bridge/bridge.c)."""
DEFAULT_HEALTH_HOST = "localhost"
IDLE_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class StickyCookie:
    """A cookie that keeps users on the release they met first. `ttl_s`: its lifetime in seconds."""

    name: str
    ttl_s: float


@dataclass(frozen=True)
class Rejection:
    """A row that is left out, so that all other rows can be applied.

    Attributes:
        message: the reason, for the row's owner; it contains nothing of other tenants.
        release_ids: the releases whose traffic stays where it is.
        host: the host whose routes stay as they are; None: a release without a route.
    """

    message: str
    release_ids: frozenset[str]
    host: str | None = None


def rejection_of(rejections: Iterable[Rejection], release_ids: Iterable[str]) -> Rejection | None:
    """The first one about one of these releases."""
    wanted = frozenset(release_ids)
    return next((one for one in rejections if one.release_ids & wanted), None)


@dataclass(frozen=True, order=True)
class Endpoint:
    """The address of one instance: an IP address, or the path of a unix socket with `PIPE_PORT`."""

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
    """The instances of one release in rotation, with its health check.

    `reuse_connections`: requests may reuse a connection. False for instances that close a connection shortly after a
    response without announcing it: a request sent at that moment would be lost.
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
    """A release reachable by its secret token (in the header `PREVIEW_HEADER`), whatever its weight."""

    release_id: str
    token: str = field(repr=False)


@dataclass(frozen=True)
class HostRoute:
    """One exact host and its targets; `environment_id` names it in statistics.

    A request with a preview's token goes to the preview, even if no target has a weight; all others, including those
    with a wrong token, go by weight. With `sticky`, a client with its cookie keeps its position in the order of the
    targets: while weights stay the same it always reaches the same release, and clients of the first target stay with
    it while its weight grows.

    `timeout_s`: seconds from the end of a request to the end of its response, None: unlimited. `idle_timeout_s`:
    seconds without data in either direction. A response that takes longer is cut off, or a 504 if it has not begun.
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
    """The complete routing table. `generation` grows with every change.

    `unreadable` rows were rejected when read; the routes of their hosts stay as they are.
    """

    generation: int
    clusters: tuple[ReleaseCluster, ...]
    routes: tuple[HostRoute, ...]
    unreadable: tuple[Rejection, ...] = ()
