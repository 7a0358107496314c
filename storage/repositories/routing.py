"""The desired routes, their generation, and the lock of the process that applies them to the router."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import Row, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from domain.delivery_spec import ServiceSpec, StickySpec
from domain.errors import ConflictError
from domain.routing import (
    DEFAULT_HEALTH_HOST,
    IDLE_TIMEOUT_S,
    Endpoint,
    HostRoute,
    Preview,
    Rejection,
    ReleaseCluster,
    RoutingTable,
    StickyCookie,
    WeightedRelease,
)
from storage.models import Environment, Instance, Release, Route, RoutingGeneration
from storage.repositories.releases import NOWHERE
from storage.repositories.timeline import TimelineRepository

ONLY_ROW = 1
WRITER_LOCK = 0x526F757465  # "Route" in ASCII: the advisory lock's number
LOOKS = 50
ROUTED = ("health", "timeout", "idle_timeout")


@dataclass(frozen=True)
class _ReadRoute:
    """A row and its parsed route; `route` is None if it is invalid. `releases`: those it names, if known."""

    host: str
    releases: tuple[UUID, ...]
    previewed: frozenset[str] = frozenset()
    route: HostRoute | None = None


@dataclass(frozen=True)
class _Sound:
    """The router's data of a release, and the limits of its service section, in seconds."""

    cluster: ReleaseCluster
    timeout_s: float | None
    idle_timeout_s: float


@dataclass(frozen=True)
class _ReadRelease:
    release_id: str
    token: str | None
    fault: str | None = None
    sound: _Sound | None = None


class RoutingRepository:
    """Routes of all tenants; the caller has checked that the environment is the tenant's.

    Every change locks the generation's row until its transaction ends, so generations are committed in order and two
    changes never share one.
    """

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def touch(self) -> int:
        """A new generation, because this transaction changes which instances are in rotation."""
        statement = (
            insert(RoutingGeneration)
            .values(id=ONLY_ROW, generation=1)
            .on_conflict_do_update(
                index_elements=[RoutingGeneration.id], set_={"generation": RoutingGeneration.generation + 1}
            )
            .returning(RoutingGeneration.generation)
        )
        return (await self._session.execute(statement)).scalar_one()

    async def set_route(
        self,
        environment_id: UUID,
        host: str,
        targets: Sequence[tuple[UUID, int]],
        *,
        previews: Sequence[UUID] = (),
        sticky: StickySpec | None = None,
    ) -> int:
        """Set the environment's route.

        Args:
            environment_id: its id.
            host: the host of its traffic.
            targets: (release, weight in percent); users of the first one stay with it while its weight grows.
            previews: releases that are also reachable by their preview token, if they have one.
            sticky: the cookie of sticky users.

        Returns:
            The new generation.
        """
        generation = await self.touch()
        values = {
            "host": host,
            "targets": _entries(targets, previews),
            "sticky": {"cookie": sticky.cookie, "ttl": sticky.ttl} if sticky else None,
            "generation": generation,
        }
        statement = (
            insert(Route)
            .values(environment_id=environment_id, **values)
            .on_conflict_do_update(index_elements=[Route.environment_id], set_={**values, "updated_at": func.now()})
        )
        await self._session.execute(statement)
        await TimelineRepository(self._session).weights(environment_id, generation, targets)
        return generation

    async def remove_route(self, environment_id: UUID) -> int:
        """Remove the environment's route and return the new generation."""
        generation = await self.touch()
        await self._session.execute(delete(Route).where(Route.environment_id == environment_id))
        await TimelineRepository(self._session).weights(environment_id, generation, ())
        return generation

    async def serving(self, environment_id: UUID) -> UUID | None:
        """The environment's current release."""
        statement = select(Environment.current_release_id).where(Environment.id == environment_id)
        return await self._session.scalar(statement)

    async def writer_lock(self, *, wait_s: float = 30) -> None:
        """Become the only writer until the transaction ends. Take it before `table`, which is then the newest.

        It differs from the generation's lock, so routes can change while a table is being applied. A database error
        (the wait was too long) becomes `DependencyError` in `storage.engine.transaction`.
        """
        milliseconds = str(int(wait_s * 1000))
        settings = [func.set_config(name, milliseconds, True) for name in ("lock_timeout", "statement_timeout")]
        await self._session.execute(select(*settings))
        await self._session.execute(select(func.pg_advisory_xact_lock(WRITER_LOCK)))

    async def table(self) -> RoutingTable:
        """All desired routes in one snapshot; read again if a change was committed in between.

        An invalid row (written by another version, or by hand) is marked and does not affect others.

        Raises:
            ConflictError: changes were committed faster than they could be read.
        """
        before = await self.generation()
        for _ in range(LOOKS):
            routes = [_parsed(row) for row in await self._routes()]
            releases = await self._releases({name for route in routes for name in route.releases})
            after = await self.generation()
            if before == after:
                return _table(after, routes, releases)
            before = after
        raise ConflictError("the routes change faster than they can be read; try again shortly")

    async def generation(self) -> int:
        """The generation of the last change; 0 before the first."""
        return await self._session.scalar(select(RoutingGeneration.generation)) or 0

    async def _routes(self) -> Sequence[Row[tuple[UUID, str, list[Any], dict[str, Any] | None]]]:
        statement = select(Route.environment_id, Route.host, Route.targets, Route.sticky).order_by(Route.host)
        return (await self._session.execute(statement)).all()

    async def _releases(self, routed: set[UUID]) -> Sequence[_ReadRelease]:
        """Routed releases, with or without instances, and all others with instances in rotation."""
        endpoints, closing = await self._endpoints()
        statement = select(Release.id, Release.service, Release.preview_token)
        found = await self._session.execute(
            statement.where(Release.id.in_(routed | endpoints.keys())).order_by(Release.id)
        )
        return [_read(row, endpoints, closing) for row in found]

    async def _endpoints(self) -> tuple[dict[UUID, list[Endpoint]], set[UUID]]:
        """The addresses of the instances in rotation, by release; and the releases that close idle connections."""
        columns = select(Instance.release_id, Instance.address, Instance.port, Instance.closes_idle)
        out: dict[UUID, list[Endpoint]] = {}
        closing: set[UUID] = set()
        statement = columns.where(Instance.in_rotation, Instance.port != NOWHERE).order_by(Instance.id)
        for release_id, address, port, closes_idle in await self._session.execute(statement):
            out.setdefault(release_id, []).append(Endpoint(address, port))
            if closes_idle:
                closing.add(release_id)
        return out, closing


def _entries(targets: Sequence[tuple[UUID, int]], previews: Sequence[UUID]) -> list[dict[str, Any]]:
    """The entries of a route's row: the targets in their order, then previewed releases that are no targets."""
    weights = dict(targets)
    weights |= {release_id: 0 for release_id in previews if release_id not in weights}
    return [
        {"release_id": str(release_id), "weight": weight} | ({"preview": True} if release_id in previews else {})
        for release_id, weight in weights.items()
    ]


def _table(generation: int, routes: Sequence[_ReadRoute], releases: Sequence[_ReadRelease]) -> RoutingTable:
    faults = {one.release_id: one.fault for one in releases if one.fault is not None}
    tokens = {one.release_id: one.token for one in releases if one.token}
    found = {one.release_id: one.sound for one in releases if one.sound is not None}
    sound: list[HostRoute] = []
    unreadable: list[Rejection] = []
    for one in routes:
        named = [str(release_id) for release_id in one.releases]
        fault = next((faults[name] for name in named if name in faults), None)
        if one.route is None:
            fault = f"the routes of {one.host!r} cannot be read"
        if fault is not None:
            unreadable.append(Rejection(fault, frozenset(named), one.host))
        elif one.route is not None:
            previews = tuple(Preview(r, tokens[r]) for r in named if r in one.previewed and r in tokens)
            sound.append(_limited(replace(one.route, previews=previews), found))
    told = {name for one in unreadable for name in one.release_ids}
    unreadable += [Rejection(why, frozenset({name})) for name, why in faults.items() if name not in told]
    clusters = tuple(one.cluster for one in found.values())
    return RoutingTable(generation, clusters, tuple(sound), tuple(unreadable))


def _limited(route: HostRoute, releases: Mapping[str, _Sound]) -> HostRoute:
    """A route has one pair of limits: while two releases share it, the longer ones apply."""
    known = [releases[name] for name in route.named if name in releases]
    timeouts = [one.timeout_s for one in known]
    return replace(
        route,
        timeout_s=None if None in timeouts else max((t for t in timeouts if t is not None), default=None),
        idle_timeout_s=max((one.idle_timeout_s for one in known), default=IDLE_TIMEOUT_S),
    )


def _parsed(row: Row[tuple[UUID, str, list[Any], dict[str, Any] | None]]) -> _ReadRoute:
    try:
        releases = tuple(UUID(t["release_id"]) for t in row.targets)
        route = HostRoute(
            environment_id=str(row.environment_id),
            host=row.host,
            targets=tuple(WeightedRelease(t["release_id"], int(t["weight"])) for t in row.targets),
            sticky=StickyCookie(str(row.sticky["cookie"]), float(row.sticky["ttl"])) if row.sticky else None,
        )
        previewed = frozenset(t["release_id"] for t in row.targets if t.get("preview"))
        return _ReadRoute(row.host, releases, previewed, route)
    except (KeyError, TypeError, ValueError, AttributeError):
        return _ReadRoute(row.host, ())


def _read(
    row: Row[tuple[UUID, dict[str, Any], str | None]],
    endpoints: Mapping[UUID, Sequence[Endpoint]],
    closing: Collection[UUID],
) -> _ReadRelease:
    release_id, service, token = row.id, row.service, row.preview_token
    name = str(release_id)
    try:
        return _ReadRelease(
            name, token, None, _release(name, service, endpoints.get(release_id, ()), closes_idle=release_id in closing)
        )
    except (ValidationError, AttributeError, TypeError) as error:
        keys = ", ".join(_keys(error)) if isinstance(error, ValidationError) else "it is no section of a service"
        return _ReadRelease(name, token, f"the stored service of release {name} makes no sense: {keys}")


def _release(
    release_id: str, service: Mapping[str, Any], endpoints: Sequence[Endpoint], *, closes_idle: bool
) -> _Sound:
    """Parses what the router needs; the rest of the section is ignored."""
    found = ServiceSpec.model_validate({key: service[key] for key in ROUTED if service.get(key) is not None})
    health = found.health
    cluster = ReleaseCluster(
        release_id=release_id,
        endpoints=tuple(endpoints),
        health_path=health.path,
        health_interval_s=health.interval,
        health_timeout_s=health.timeout,
        healthy_after=health.healthy_after,
        unhealthy_after=health.unhealthy_after,
        health_host=health.host or DEFAULT_HEALTH_HOST,
        reuse_connections=not closes_idle,
    )
    return _Sound(cluster, found.timeout, found.idle_timeout)


def _keys(error: ValidationError) -> list[str]:
    """The locations of faults, without quoting any value."""
    return sorted({".".join(("service", *map(str, one["loc"]))) for one in error.errors(include_url=False)})
