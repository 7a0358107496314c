"""The walk: every route of the document with another organization's ids and people. Nothing is seen or changed."""

import sys
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from api.version import PREFIX
from domain.access import Role
from tests.api.belongings import FILLERS, REFERENCES, SCOPED, Owner
from tests.api.conftest import RecordedOperations, make_world
from tests.api.document import Route, routes_of
from tests.api.footprint import footprint

REFUSED = {403: "AUTHORIZATION_DENIED", 404: "RESOURCE_NOT_FOUND"}
# Routes for everybody, and why.
PUBLIC = {"health": "for probes", "livez": "for probes", "readyz": "for probes"}
# Served, and in no document: pages and documents about the API, and Temporal's own protocol (tests/api/test_codec.py).
HIDDEN = ("/docs", "/redoc", "/docs-assets", "/openapi", "/temporal/codec")
# Writes a viewer may make, and why.
OF_VIEWERS: dict[str, str] = {}
# Answers without an end.
STREAMS = frozenset({"follow_operation"})


@pytest.fixture(scope="module")
def owner(platform, caller, build_of) -> Any:
    async def make(slug: str) -> Owner:
        world = await make_world(platform, caller, slug)
        admin, viewer = (caller(role, world.org["id"]) for role in (Role.ADMIN, Role.VIEWER))
        return Owner(world, admin, viewer, build_of)

    return make


@pytest.fixture(scope="module")
async def mine(owner) -> Owner:
    """The organization that is looked at: two of everything."""
    found = await owner("mine")
    await found.fill()
    await found.add()
    return found


@pytest.fixture(scope="module")
async def stranger(owner) -> Owner:
    """Another one, with one of everything."""
    found = await owner("stranger")
    await found.fill()
    return found


@pytest.fixture(scope="module")
def routes(app: FastAPI) -> list[Route]:
    return routes_of(app)


@pytest.fixture
async def untouched(mine: Owner, rows):
    """Fails when anything of `mine` is another one after the test."""
    before = await footprint(rows, mine.world.org["id"])
    yield
    after = await footprint(rows, mine.world.org["id"])
    assert after == before
    assert sum(not digest.startswith("0 ") for digest in before.values()) >= 10


def filled(route: Route, values: dict[str, str]) -> str:
    return route.path.format(**{name: values[name] for name in route.parameters})


async def ask(route: Route, person: Any, path: str, **options: Any) -> httpx2.Response:
    return await person.http.request(route.method, path, **{**route.options(), **options})


def check_refused(route: Route, response: httpx2.Response, *, said: int | None = None) -> None:
    where = (route.method, route.path, response.text[:300])
    assert response.status_code in ({said} if said else REFUSED), where
    assert response.json()["error"]["code"] == REFUSED[response.status_code], where


def check_idle(operations: RecordedOperations) -> None:
    """No workflow heard of it."""
    assert [*operations.started, *operations.stopped, *operations.decided] == []


def test_every_route_is_walked(app: FastAPI, routes: list[Route], capsys):
    unknown = {name for route in routes for name in route.parameters} - FILLERS.keys()
    assert not unknown, "a new path parameter: add how to make such a resource to FILLERS in tests/api/belongings.py"
    named = {field for route in routes for field in route.references} - REFERENCES.keys()
    assert not named, "a new id in a body: add what it names to REFERENCES in tests/api/belongings.py"
    assert {route.name for route in routes if route.is_public} == PUBLIC.keys()
    documented = {(route.method, route.path) for route in routes}
    for context in iter_route_contexts(app.routes):
        path = (context.path or "").removeprefix(PREFIX)
        if not path.startswith(HIDDEN):
            assert {(method, path) for method in context.methods or ()} <= documented, path
    with capsys.disabled():
        count = sum(bool(route.parameters) for route in routes)
        sys.stdout.write(f"\nisolation: {len(routes)} routes walked, {count} of them with ids\n")


async def test_real_ids_are_walked(mine: Owner, routes: list[Route]):
    """What is refused to strangers below is there for its owner."""
    for route in routes:
        if route.method == "GET" and route.name not in STREAMS and not route.is_public:
            response = await ask(route, mine.admin, filled(route, mine.made))
            assert response.status_code == 200, (route.path, response.text[:300])


async def test_strangers_get_nowhere_with_real_ids(untouched, operations, stranger, mine, routes):
    tried = 0
    for route in routes:
        if route.parameters:
            for person in (stranger.admin, stranger.viewer):
                check_refused(route, await ask(route, person, filled(route, mine.made)))
            tried += 1
    assert tried >= 45
    check_idle(operations)


async def test_a_real_id_below_an_own_one_is_not_found(untouched, operations, stranger, mine, routes):
    """Of several ids the outer ones are the stranger's own, the last is not."""
    for route in routes:
        *outer, last = [name for name in route.parameters if name not in SCOPED] or [""]
        if outer:
            own = {**stranger.made, last: mine.made[last]}
            check_refused(route, await ask(route, stranger.admin, filled(route, own)))
    check_idle(operations)


async def test_viewers_change_nothing_of_their_own(untouched, operations, mine, routes):
    writes = [route for route in routes if route.method != "GET" and route.name not in OF_VIEWERS]
    for route in writes:
        check_refused(route, await ask(route, mine.viewer, filled(route, mine.made)), said=403)
    assert len(writes) >= 25
    check_idle(operations)


def check_nothing_of(mine: Owner, response: httpx2.Response, asked: str) -> None:
    """No id of theirs is in an answer, but in what was asked for."""
    words = {*mine.made.values(), *mine.others, mine.world.org["slug"]} - {"dev"}
    text = response.text.replace(asked, "")
    assert not [word for word in words if word in text], (response.url, response.text[:500])


async def test_lists_show_nothing_of_others(stranger: Owner, mine: Owner, routes: list[Route]):
    for route in (route for route in routes if route.is_list):
        response = await ask(route, stranger.admin, filled(route, stranger.made), params={"page_size": 100})
        assert response.status_code == 200
        check_nothing_of(mine, response, asked="-")


async def test_filters_by_others_ids_find_nothing(stranger: Owner, mine: Owner, routes: list[Route]):
    tried = 0
    for route in routes:
        for query in (name for name in route.queries if name.endswith("_id")):
            given = mine.made[query]
            response = await ask(route, stranger.admin, filled(route, stranger.made), params={query: given})
            assert response.status_code in {200, 400, 404, 422}
            assert not response.json().get("data")
            check_nothing_of(mine, response, asked=given)
            tried += 1
    assert tried >= 1


async def test_cursors_of_others_show_nothing_of_them(stranger: Owner, mine: Owner, routes: list[Route]):
    tried = 0
    for route in (route for route in routes if route.is_list):
        first = await ask(route, mine.admin, filled(route, mine.made), params={"page_size": 1})
        cursor = first.json()["pagination"]["next_cursor"]
        if cursor is not None:
            response = await ask(route, stranger.admin, filled(route, stranger.made), params={"cursor": cursor})
            assert response.status_code in {200, 400}
            check_nothing_of(mine, response, asked=cursor)
            tried += 1
    assert tried >= 9


async def test_bodies_name_nothing_of_others(untouched, operations, stranger: Owner, mine: Owner, routes: list[Route]):
    """A stranger's own address, and somebody else's id in the body."""
    for route in routes:
        for field in sorted(route.references):
            if REFERENCES[field].startswith("free: "):
                continue
            body = {**route.body, field: mine.made[REFERENCES[field]]}
            response = await ask(route, stranger.admin, filled(route, stranger.made), json=body)
            assert response.status_code in {403, 404, 422}, (route.name, field, response.text[:300])
    check_idle(operations)
