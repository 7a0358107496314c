"""The desired traffic, as it stands in the database at one moment."""

from dataclasses import dataclass

from domain.delivery import HealthSpec


@dataclass(frozen=True)
class DesiredEndpoint:
    """Where one instance in rotation listens."""

    address: str
    port: int


@dataclass(frozen=True)
class DesiredRelease:
    """A release that is routed to or has instances in rotation, with the health check of its service section."""

    release_id: str
    endpoints: tuple[DesiredEndpoint, ...]
    health: HealthSpec


@dataclass(frozen=True)
class DesiredRoute:
    """A host and the shares of its releases: (release id, weight), weights adding up to 100 or all 0."""

    environment_id: str
    host: str
    shares: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class RoutingSnapshot:
    """All of it, consistent: every change of routes or rotation makes a new generation."""

    generation: int
    releases: tuple[DesiredRelease, ...]
    routes: tuple[DesiredRoute, ...]
