"""The desired traffic, as it stands in the database at one moment."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from domain.delivery_spec import HealthSpec

PREVIEW_HEADER = "x-delivery-preview"
"""Carries a preview's token; it never reaches a service."""
REFUSED_HEADER = "x-delivery-refused"
"""In the answer of a bridge behind which nobody listens (drivers/bridge/bridge.c)."""


@dataclass(frozen=True)
class DesiredEndpoint:
    """Where one instance in rotation listens."""

    address: str
    port: int


@dataclass(frozen=True)
class DesiredRelease:
    """A release that is routed to or has instances in rotation, with what its service section says of both.

    `timeout`, `idle_timeout`: seconds, as in `ServiceSpec`. `closes_idle`: an instance of it closes connections
    shortly after an answer without saying so.
    """

    release_id: str
    endpoints: tuple[DesiredEndpoint, ...]
    health: HealthSpec
    timeout: float | None = None
    idle_timeout: float = 300
    closes_idle: bool = False


@dataclass(frozen=True)
class StickyCookie:
    """A cookie by which users stay with the release they met. `ttl_s`: seconds it lives."""

    name: str
    ttl_s: float


@dataclass(frozen=True)
class DesiredPreview:
    """A release that requests with the preview token reach, whatever its weight."""

    release_id: str
    token: str = field(repr=False)


@dataclass(frozen=True)
class DesiredRoute:
    """A host and the shares of its releases: (release id, weight), weights adding up to 100 or all 0.

    With `sticky`, the first share is the one whose users are kept while its weight grows.
    """

    environment_id: str
    host: str
    shares: tuple[tuple[str, int], ...]
    previews: tuple[DesiredPreview, ...] = ()
    sticky: StickyCookie | None = None


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


@dataclass(frozen=True)
class RoutingSnapshot:
    """All of it, consistent: every change of routes or rotation makes a new generation.

    `unreadable` rows make no sense to this version of the engine; they are in neither of the others.
    """

    generation: int
    releases: tuple[DesiredRelease, ...]
    routes: tuple[DesiredRoute, ...]
    unreadable: tuple[Rejection, ...] = ()
