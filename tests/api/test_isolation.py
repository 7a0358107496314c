"""The walk: every route of the document with another organization's ids and people. Nothing is seen or changed."""

import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi import FastAPI

from api.app import create_app
from api.version import PREFIX
from domain.permissions import Role
from runtime.ids import new_id
from storage.engine import transaction
from storage.models import AttestationKey, OutsidePerson
from tests.api.callers import Person, by_key, by_token, person, service_account
from tests.api.conftest import make_world
from tests.api.document import Route, routes_of
from tests.api.organization_digests import digests
from tests.api.owned_resources import REFERENCES, SCOPED, Owner
from tests.api.people import as_member, joined
from tests.api.recorded import record
from tests.api.walk import ask, check_idle, check_nothing_of, check_refused, filled, reads, writes
from tests.api.walk_coverage import OF_PLATFORM, PUBLIC, faults_of

# Of a key that nobody signs with.
KEY = new_id()
# Writes a viewer may make, and why.
OF_VIEWERS = {"change_me": "users change themselves"}
# What tells people in which organizations they are, also with a token of one of them.
OF_ONESELF = {("get_me", "an admin of both organizations, in this one")}
# Filters that are no ids, and find something of theirs where a filter by the tenant is missing.
WORDS = frozenset({"actor", "search"})


@pytest.fixture(scope="module")
def owner(platform, caller, build_of, rows) -> Callable[[str], Awaitable[Owner]]:
    async def make(slug: str) -> Owner:
        world = await make_world(platform, caller, slug)
        admin, viewer = (caller(role, world.org["id"]) for role in (Role.ADMIN, Role.VIEWER))
        made = Owner(world, admin, viewer, build_of, rows)
        await made.fill()
        return made

    return make


@pytest.fixture(scope="module")
async def mine(owner, rows) -> Owner:
    """The organization that is looked at: two of everything."""
    found = await owner("looked-at")
    await found.add()
    await record(rows, found)
    return found


@pytest.fixture(scope="module")
async def stranger(owner) -> Owner:
    """Another one, with one of everything."""
    return await owner("stranger")


@pytest.fixture(scope="module")
async def both(stranger: Owner, mine: Owner, caller) -> dict[str, Any]:
    """Somebody who is an admin of both, with a token of each."""
    members = {}
    for one in (mine, stranger):
        member = await joined(one.admin, one.made["org_id"], "both@example.com", "admin")
        members[one.world.org["slug"]] = as_member(caller, member)
    assert len({member.subject for member in members.values()}) == 1
    return members


@pytest.fixture(scope="module")
async def strangers(app: FastAPI, stranger: Owner, both) -> list[Person]:
    """Everybody in the other organization, by every kind of credentials."""
    org, same = stranger.made["org_id"], both["stranger"]
    return [
        by_token(app, "an admin", stranger.admin.token),
        by_token(app, "a viewer", stranger.viewer.token),
        by_token(app, "an admin of both organizations, in this one", same.token),
        await service_account(app, stranger.admin, org),
        await by_key(app, stranger.admin, org),
        await by_key(app, same, org),
    ]


@pytest.fixture(scope="module")
async def own(app: FastAPI, mine: Owner, both) -> Person:
    """Who is an admin of both organizations, with a key of the one that is looked at."""
    return await by_key(app, both["looked-at"], mine.made["org_id"])


@pytest.fixture(scope="module")
def routes(app: FastAPI) -> list[Route]:
    return routes_of(app)


@pytest.fixture
async def untouched(mine: Owner, rows) -> AsyncIterator[None]:
    """Fails when anything of `mine`, in whatever table, is another one after the test."""
    async with transaction(rows) as session:  # no foreign issuer is asked in these tests
        await session.merge(OutsidePerson(subject="corp|ann", mailbox="ann@example.com"))
        # Nor is anything built here, which makes the first key.
        await session.merge(
            AttestationKey(
                id=KEY, kid="a", state="retired", public_key="-", sealed_key=b"-", retired_at=datetime.now(UTC)
            )
        )
    before = await digests(rows, mine.made["org_id"])
    assert not [table for table, digest in before.items() if digest.startswith("0 ")], "nothing there to be changed"
    yield
    assert await digests(rows, mine.made["org_id"]) == before


def test_every_route_is_walked(app: FastAPI, routes: list[Route], capsys):
    assert faults_of(app, routes) == []
    with capsys.disabled():
        count = sum(bool(route.parameters) for route in routes)
        sys.stdout.write(f"\nisolation: {len(routes)} routes walked, {count} of them with ids\n")
    assert count >= 85


async def _gadget(gadget_id: str) -> str:
    return gadget_id


async def _hidden() -> str:
    return "seen by nobody who looks at the document"


def test_routes_that_nobody_thought_of_fail_the_walk(settings):
    app = create_app(settings)
    app.add_api_route(f"{PREFIX}/gadgets/{{gadget_id}}", _gadget)
    app.add_api_route(f"{PREFIX}/gadgets", _hidden, include_in_schema=False)
    said = "\n".join(faults_of(app, routes_of(app)))
    for part in (r"{'gadget_id'}.* FILLERS", r"{'_gadget'}.* PUBLIC", r"{'_gadget'}.* ANYBODY", "/gadgets is in no"):
        assert re.search(part, said), said


def test_an_id_in_a_body_that_nobody_thought_of_fails_the_walk(routes: list[Route]):
    schema = {"type": "object", "properties": {"parts": {"items": {"properties": {"gadget_id": {"type": "string"}}}}}}
    operation = {"requestBody": {"content": {"application/json": {"schema": schema}}}}
    assert replace(routes[0], operation=operation).references - REFERENCES.keys() == {"gadget_id"}


async def test_real_ids_are_walked(platform, mine: Owner, routes: list[Route]):
    """What is refused to strangers below is there for its owner, and for platform admins."""
    for route in reads(routes):
        for who in (mine.admin, platform):
            response = await ask(route, who, filled(route, mine.made))
            wanted = 403 if route.name in OF_PLATFORM and who is mine.admin else 200
            assert response.status_code == wanted, (route.path, response.text[:300])


async def test_strangers_get_nowhere_with_real_ids(untouched, operations, strangers, mine, routes):
    with_ids = [route for route in routes if route.parameters]
    for route in with_ids:
        path = filled(route, mine.made)
        for who in strangers:
            check_refused(route, await ask(route, who, path), who.name)
    check_idle(operations)


async def test_refusals_tell_nothing(stranger, mine, routes):
    """A real id of theirs and an id of nothing are answered alike."""
    for route in (route for route in routes if SCOPED.isdisjoint(route.parameters) and route.parameters):
        real, other = filled(route, mine.made), {**mine.made, route.parameters[-1]: str(new_id())}
        answers = [await ask(route, stranger.admin, path) for path in (real, filled(route, other))]
        told = [re.sub(r"[0-9a-f-]{36}", "-", one.json()["error"]["message"]) for one in answers]
        assert (answers[0].status_code, told[0]) == (answers[1].status_code, told[1]), route.path


async def test_nobody_gets_anywhere(app, untouched, operations, mine, routes):
    nobody = person(app, "nobody", {})
    for route in (route for route in routes if route.name not in PUBLIC):
        response = await ask(route, nobody, filled(route, mine.made))
        assert (response.status_code, response.json()["error"]["code"]) == (401, "AUTHENTICATION_FAILED"), route.path
    check_idle(operations)


async def test_credentials_of_two_organizations_are_none(*, app, untouched, operations, strangers, own, mine, routes):
    """Whichever of them the address would be open to."""
    token, key = strangers[2].headers, strangers[-1].headers
    pairs = [
        person(app, "our token, their key", {"Authorization": f"Bearer {mine.admin.token}", **key}),
        person(app, "our key, the same person's token of theirs", {**own.headers, **token}),
    ]
    for route in (route for route in routes if route.name not in PUBLIC):
        for who in pairs:
            response = await ask(route, who, filled(route, mine.made))
            assert (response.status_code, response.json()["error"]["code"]) == (401, "AUTHENTICATION_FAILED"), who.name
    check_idle(operations)


async def test_a_real_id_below_an_own_one_is_not_found(*, untouched, operations, platform, stranger, mine, routes):
    """Of several ids the outer ones are the stranger's own, the last is not: nowhere at all is it found there."""
    tried = 0
    for route in routes:
        *outer, last = [name for name in route.parameters if name not in SCOPED] or [""]
        if outer:
            path = filled(route, {**stranger.made, last: mine.made[last]})
            for who in (stranger.admin, platform):
                check_refused(route, await ask(route, who, path), "an admin", said=404)
            tried += 1
    assert tried >= 30
    check_idle(operations)


async def test_viewers_change_nothing_of_their_own(untouched, operations, mine, routes):
    refused = [route for route in writes(routes) if route.name not in OF_VIEWERS]
    for route in refused:
        check_refused(route, await ask(route, mine.viewer, filled(route, mine.made)), "a viewer", said=403)
    assert len(refused) >= 55
    check_idle(operations)


async def test_what_strangers_see_has_nothing_of_others(strangers, stranger: Owner, mine: Owner, routes: list[Route]):
    """Neither lists nor exports nor single things of their own."""
    allowed = 0
    for route in reads(routes):
        for who in (strangers[0], strangers[2], strangers[-1]):
            given = {"page_size": "100"} if route.is_list else {}
            response = await ask(route, who, filled(route, stranger.made), params=given)
            assert response.status_code in {200, 403}, (who.name, route.path, response.text[:300])
            allowed += response.status_code == 200
            if (route.name, who.name) not in OF_ONESELF:
                check_nothing_of(mine, response)
    assert allowed >= 120


async def test_filters_by_what_is_others_find_nothing(stranger: Owner, mine: Owner, routes: list[Route]):
    values = {**mine.made, "actor": mine.admin.subject, "search": mine.world.org["slug"]}
    values["resource_id"] = mine.made["feature_id"]
    tried = 0
    for route in (route for route in reads(routes) if route.name not in OF_PLATFORM):
        for query in (name for name in route.queries if name.endswith("_id") or name in WORDS):
            response = await ask(route, stranger.admin, filled(route, stranger.made), params={query: values[query]})
            assert response.status_code in {200, 404}, (route.path, response.text[:300])
            found = response.json().get("data") if response.text else []
            assert not found, (route.path, query, found)
            check_nothing_of(mine, response, asked=values[query])
            tried += 1
    assert tried >= 10


async def test_cursors_of_others_show_nothing_of_them(stranger: Owner, mine: Owner, routes: list[Route]):
    tried = 0
    for route in (route for route in reads(routes) if route.is_list and route.name not in OF_PLATFORM):
        first = await ask(route, mine.admin, filled(route, mine.made), params={"page_size": 1})
        cursor = first.json()["pagination"]["next_cursor"]
        if cursor is not None:
            response = await ask(route, stranger.admin, filled(route, stranger.made), params={"cursor": cursor})
            assert response.status_code in {200, 400}
            check_nothing_of(mine, response, asked=cursor)
            tried += 1
    assert tried >= 15


async def test_bodies_name_nothing_of_others(untouched, operations, stranger: Owner, mine: Owner, routes: list[Route]):
    """A stranger's own address, and somebody else's id in the body; with an own id it is taken."""
    tried = 0
    for route in routes:
        for field in sorted(route.references):
            if REFERENCES[field].startswith("free: "):
                continue
            for whose, accepted in ((mine, False), (stranger, True)):
                body = {**route.body, field: whose.made[REFERENCES[field]]}
                response = await ask(route, stranger.admin, filled(route, stranger.made), json=body)
                assert response.is_success is accepted, (route.name, field, response.text[:300])
                assert accepted or response.status_code in {400, 403, 404, 422}
            tried += 1
    assert tried >= 2
    check_idle(operations)


async def test_answers_kept_for_one_organization_are_not_given_in_another(caller, owner, stranger, routes):
    """The same person, the same `Idempotency-Key`, address and body: but with a token of another organization."""
    spent = await owner("spent")
    subject = f"both-{new_id()}"
    here, there = (caller(Role.ADMIN, one.made["org_id"], subject=subject) for one in (spent, stranger))
    kept = 0
    for number, route in enumerate(route for route in writes(routes) if route.method != "DELETE" and route.parameters):
        path, key = filled(route, spent.made), {"Idempotency-Key": f"kept-{number}"}
        first = await ask(route, here, path, headers=key)
        if first.is_success:
            again = await ask(route, here, path, headers=key)
            assert again.headers["idempotent-replayed"] == "true", route.path
            kept += 1
        other = await ask(route, there, path, headers=key)
        check_refused(route, other, "the same person elsewhere")
        assert "idempotent-replayed" not in other.headers
    assert kept >= 25


async def test_requests_of_one_organization_are_not_counted_for_another(mine: Owner, both):
    """Not even those of the same person."""
    here, there = both["stranger"], both["looked-at"]

    async def left() -> list[int]:
        limits = (await here.get("/roles")).headers["ratelimit"]
        return [int(found) for found in re.findall(r"r=(\d+)", limits)]

    before = await left()
    for one in (there, mine.admin):
        for _ in range(20):
            assert (await one.get("/roles")).is_success
    assert len(before) == 6
    assert all(now >= then - 1 for then, now in zip(before, await left(), strict=True))
