import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from sqlalchemy import delete, update

from domain.delivery_spec import StickySpec
from domain.errors import DependencyError
from domain.routing import Endpoint, Preview, RoutingTable, StickyCookie, WeightedRelease
from runtime.ids import new_id
from storage.engine import Sessions, transaction
from storage.models import (
    Base,
    Build,
    Deployment,
    Environment,
    Feature,
    Instance,
    Operation,
    Organization,
    Project,
    Release,
    Requirement,
    Route,
    RoutingGeneration,
)
from storage.repositories.routing import RoutingRepository

HOST = "dev.shop.acme.localhost"


def _world(environment_id: UUID, *release_ids: UUID) -> list[Base]:
    org, project, requirement, feature = new_id(), new_id(), new_id(), new_id()
    shared = {"organization_id": org, "project_id": project}
    rows: list[Base] = [
        Organization(id=org, name="Acme", slug=str(org), host_label=str(org)),
        Project(id=project, organization_id=org, name="Shop", slug="shop", host_label="shop", repository_url="x"),
        Requirement(id=requirement, **shared, title="t", description="d", created_by="me"),
        Feature(id=feature, **shared, requirement_id=requirement, name="f", description="d"),
        Environment(id=environment_id, **shared, name="dev", host=f"{environment_id}.localhost"),
    ]
    for number, release_id in enumerate(release_ids, 1):
        operation, build = new_id(), new_id()
        rows += [
            Operation(id=operation, **shared, kind="deploy", resource_id=release_id, requested_by="me"),
            Build(
                id=build,
                **shared,
                feature_id=feature,
                provenance="executed",
                build_number=number,
                version_tag=f"v{number}",
                git_commit_hash="0" * 40,
                git_branch="main",
                status="success",
            ),
            Deployment(
                id=release_id,
                **shared,
                environment_id=environment_id,
                operation_id=operation,
                environment="dev",
                deployment_strategy="rolling",
                requested_by="me",
            ),
            Release(
                id=release_id,
                organization_id=org,
                environment_id=environment_id,
                deployment_id=release_id,
                build_id=build,
                artifact_digest="sha256:0",
                service={"health": {"path": "/up", "interval": 0.25}},
                replicas=2,
            ),
        ]
    return rows


def _instance(release_id: UUID, index: int, port: int, *, in_rotation: bool = True) -> Instance:
    return Instance(
        id=f"{release_id}-{index}",
        release_id=release_id,
        index=index,
        address="127.0.0.1",
        port=port,
        in_rotation=in_rotation,
    )


@pytest.fixture
async def environment(sessions: Sessions) -> AsyncIterator[tuple[UUID, UUID, UUID]]:
    """An environment with two releases: (environment, blue, green)."""
    environment_id, blue, green = new_id(), new_id(), new_id()
    async with transaction(sessions) as session:
        for row in _world(environment_id, blue, green):
            session.add(row)
            await session.flush()
    yield environment_id, blue, green
    async with transaction(sessions) as session:
        for table in (Instance, Route, RoutingGeneration):
            await session.execute(delete(table))


async def test_an_empty_database_has_generation_0(sessions: Sessions) -> None:
    async with transaction(sessions) as session:
        table = await RoutingRepository(session).table()
    assert (table.generation, table.routes, table.clusters) == (0, (), ())


async def test_the_table_has_routes_endpoints_in_rotation_and_health(
    sessions: Sessions, environment: tuple[UUID, UUID, UUID]
) -> None:
    environment_id, blue, green = environment
    async with transaction(sessions) as session:
        session.add_all([_instance(blue, 0, 1001), _instance(blue, 1, 1002, in_rotation=False)])
        generation = await RoutingRepository(session).set_route(environment_id, HOST, [(blue, 100), (green, 0)])
    async with transaction(sessions) as session:
        table = await RoutingRepository(session).table()
    assert table.generation == generation
    releases = {r.release_id: r for r in table.clusters}
    assert releases[str(blue)].endpoints == (Endpoint("127.0.0.1", 1001),)
    assert releases[str(green)].endpoints == ()
    assert [(t.release_id, t.weight) for t in table.routes[0].targets] == [(str(blue), 100), (str(green), 0)]
    assert {(c.health_path, c.health_interval_s) for c in table.clusters} == {("/up", 0.25)}


async def _give_token(sessions: Sessions, release_id: UUID) -> str:
    token = f"token-of-{release_id}"
    async with transaction(sessions) as session:
        await session.execute(update(Release).where(Release.id == release_id).values(preview_token=token))
    return token


async def test_previews_and_the_cookie_are_part_of_the_route(
    sessions: Sessions, environment: tuple[UUID, UUID, UUID]
) -> None:
    environment_id, blue, green = environment
    token = await _give_token(sessions, green)
    async with transaction(sessions) as session:
        await RoutingRepository(session).set_route(
            environment_id, HOST, [(green, 10), (blue, 90)], previews=[green], sticky=StickySpec(cookie="stay", ttl=60)
        )
    async with transaction(sessions) as session:
        table = await RoutingRepository(session).table()
    (route,) = table.routes
    assert route.targets == (WeightedRelease(str(green), 10), WeightedRelease(str(blue), 90))
    assert route.previews == (Preview(str(green), token),)
    assert token not in repr(table)
    assert (route.previews, route.sticky) == ((Preview(str(green), token),), StickyCookie("stay", 60))


async def test_a_previewed_release_without_a_share_is_a_target_of_weight_0(
    sessions: Sessions, environment: tuple[UUID, UUID, UUID]
) -> None:
    environment_id, blue, green = environment
    token = await _give_token(sessions, green)
    for shares in ([(blue, 100)], []):
        async with transaction(sessions) as session:
            await RoutingRepository(session).set_route(environment_id, HOST, shares, previews=[green])
            row = await session.get_one(Route, environment_id)
            assert row.targets[-1] == {"release_id": str(green), "weight": 0, "preview": True}
            assert [set(target) for target in row.targets[:-1]] == [{"release_id", "weight"}] * len(shares)
            session.expunge(row)
        async with transaction(sessions) as session:
            table = await RoutingRepository(session).table()
        assert table.routes[0].previews == (Preview(str(green), token),)
        assert str(green) in {r.release_id for r in table.clusters}


async def test_a_preview_without_a_token_is_none_and_setting_again_ends_it(
    sessions: Sessions, environment: tuple[UUID, UUID, UUID]
) -> None:
    environment_id, blue, green = environment
    await _give_token(sessions, green)
    for previews, expected in (([blue], []), ([blue, green], [str(green)]), ([], [])):
        async with transaction(sessions) as session:
            routes = RoutingRepository(session)
            await routes.set_route(environment_id, HOST, [(blue, 100)], previews=previews)
            (route,) = (await routes.table()).routes
        assert [p.release_id for p in route.previews] == expected
        assert route.sticky is None


async def test_setting_again_replaces_and_removing_removes(
    sessions: Sessions, environment: tuple[UUID, UUID, UUID]
) -> None:
    environment_id, blue, green = environment
    generations = []
    for release_id in (blue, green):
        async with transaction(sessions) as session:
            generations.append(await RoutingRepository(session).set_route(environment_id, HOST, [(release_id, 100)]))
    async with transaction(sessions) as session:
        routes = RoutingRepository(session)
        assert [r.targets for r in (await routes.table()).routes] == [(WeightedRelease(str(green), 100),)]
        generations.append(await routes.remove_route(environment_id))
        assert (await routes.table()).routes == ()
    assert generations == sorted(set(generations))


async def test_changes_at_once_never_share_a_generation_even_the_first(
    sessions: Sessions, environment: tuple[UUID, UUID, UUID]
) -> None:
    async def change() -> int:
        async with transaction(sessions) as session:
            return await RoutingRepository(session).touch()

    generations = await asyncio.gather(*(change() for _ in range(8)))
    assert sorted(generations) == list(range(1, 9))


async def test_two_writers_at_once_end_with_the_newest_applied(
    sessions: Sessions, environment: tuple[UUID, UUID, UUID]
) -> None:
    environment_id, blue, green = environment
    applied: list[RoutingTable] = []
    inside = 0

    async def write(release_id: UUID) -> None:
        nonlocal inside
        async with transaction(sessions) as session:
            await RoutingRepository(session).set_route(environment_id, HOST, [(release_id, 100)])
        async with transaction(sessions) as session:
            routes = RoutingRepository(session)
            await routes.writer_lock()
            table = await routes.table()
            inside += 1
            assert inside == 1
            await asyncio.sleep(0.02)  # the time a router takes
            applied.append(table)
            inside -= 1

    await asyncio.gather(*(write(release_id) for release_id in (blue, green, blue, green)))
    generations = [table.generation for table in applied]
    assert generations == sorted(generations)
    assert generations[-1] == 4
    async with transaction(sessions) as session:
        assert await RoutingRepository(session).table() == applied[-1]


async def test_routes_can_be_changed_while_a_writer_is_busy_and_waiting_for_it_has_a_limit(
    sessions: Sessions, environment: tuple[UUID, UUID, UUID]
) -> None:
    environment_id, blue, _ = environment
    async with transaction(sessions) as busy:
        await RoutingRepository(busy).writer_lock()
        async with transaction(sessions) as session:
            await RoutingRepository(session).set_route(environment_id, HOST, [(blue, 100)])
        with pytest.raises(DependencyError):
            async with transaction(sessions) as session:
                await RoutingRepository(session).writer_lock(wait_s=0.2)


@pytest.mark.parametrize(
    ("service", "targets"),
    [
        ({"health": {"path": "/up", "interval": 0}}, None),
        ({"health": {"path": "up"}}, None),
        ({"health": ["/up"]}, None),
        ({"health": {"path": "/up", "timeout": "soon"}}, None),
        ({}, [{"weight": 100}]),
        ({}, [{"release_id": "no id", "weight": 100}]),
        ({}, [{"release_id": "00000000-0000-0000-0000-000000000000", "weight": None}]),
        ({}, ["text"]),
    ],
)
async def test_a_poisoned_row_put_directly_in_the_database_hides_no_other(
    sessions: Sessions, service: dict[str, object], targets: list[object] | None
) -> None:
    poisoned, sound, bad, good = (new_id() for _ in range(4))
    async with transaction(sessions) as session:
        for environment_id, release_id in ((poisoned, bad), (sound, good)):
            for row in _world(environment_id, release_id):
                session.add(row)
                await session.flush()
            host = f"{environment_id}.localhost"
            await RoutingRepository(session).set_route(environment_id, host, [(release_id, 100)])
        await session.execute(update(Release).where(Release.id == bad).values(service=service))
        if targets is not None:
            await session.execute(update(Route).where(Route.environment_id == poisoned).values(targets=targets))
    async with transaction(sessions) as session:
        table = await RoutingRepository(session).table()
        await session.execute(delete(Route))
    assert [route.host for route in table.routes] == [f"{sound}.localhost"]
    (rejection,) = table.unreadable
    assert rejection.host == f"{poisoned}.localhost"
    assert str(sound) not in rejection.message
    assert str(good) not in rejection.message


@pytest.mark.parametrize(
    ("of_blue", "of_green", "limits"),
    [
        ({"timeout": 10, "idle_timeout": 20}, {"timeout": 30, "idle_timeout": 5}, (30, 20)),
        ({"timeout": 10}, {}, (None, 300)),
    ],
)
async def test_while_two_releases_share_a_route_the_limits_of_the_more_patient_one_hold(
    sessions: Sessions,
    environment: tuple[UUID, UUID, UUID],
    of_blue: dict[str, int],
    of_green: dict[str, int],
    limits: tuple[float | None, float],
) -> None:
    environment_id, blue, green = environment
    async with transaction(sessions) as session:
        for release_id, service in ((blue, of_blue), (green, of_green)):
            await session.execute(update(Release).where(Release.id == release_id).values(service=service))
        await RoutingRepository(session).set_route(environment_id, HOST, [(blue, 90), (green, 10)])
        (route,) = (await RoutingRepository(session).table()).routes
    assert (route.timeout_s, route.idle_timeout_s) == limits
