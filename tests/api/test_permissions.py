"""Every route asks for what the published table says, of tokens and of keys alike."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from api.auth.permissions import GRANTED
from api.cli import roles_page
from api.version import PREFIX
from domain.permissions import GRANTS, Role, Scope
from runtime.ids import new_id
from runtime.keys import load_signer
from runtime.tokens import Subject, sign
from tests.api.callers import Person, by_key, by_token
from tests.api.document import Route, routes_of
from tests.api.people import organization
from tests.api.walk_coverage import ANYBODY, PUBLIC
from tests.support.facts import facts

Needs = Mapping[frozenset[Scope], Person]


@pytest.fixture(scope="module")
def routes(app: FastAPI) -> list[Route]:
    return routes_of(app)


@pytest.fixture(scope="module")
def guarded(routes: list[Route]) -> list[Route]:
    """Those that ask for a permission."""
    return [route for route in routes if route.name not in {*PUBLIC, *ANYBODY}]


@pytest.fixture(scope="module")
async def org(platform) -> str:
    return await organization(platform, "permitted")


@pytest.fixture(scope="module")
def with_token(app, settings, org):
    """An admin with a token that carries these scopes."""
    signer = load_signer(settings)  # once: it takes long to read

    async def make(scopes: frozenset[Scope]) -> Person:
        subject = Subject("admin", Role.ADMIN, scopes, organization=org)
        token = sign(subject, signer, issuer=settings.jwt_issuer, audience=settings.jwt_audience)
        return by_token(app, "a token", token)

    return make


@pytest.fixture(scope="module")
def with_key(app, caller, org):
    """A key of an admin with these scopes."""
    admin = caller(Role.ADMIN, org)

    async def make(scopes: frozenset[Scope]) -> Person:
        return await by_key(app, admin, org, scopes)

    return make


@pytest.fixture(params=["token", "key"])
def with_scopes(request, with_token, with_key) -> Any:
    return with_token if request.param == "token" else with_key


def dependencies(dependant: Dependant) -> Iterator[Any]:
    for inner in dependant.dependencies:
        yield inner.call
        yield from dependencies(inner)


async def ask(route: Route, who: Any, org: str) -> httpx2.Response:
    """With ids of nothing, but in the own organization: whoever may is told that there is nothing."""
    path = re.sub(r"{\w+_id}", str(new_id()), route.path.replace("{org_id}", org)).replace("{name}", "dev")
    return await who.http.request(route.method, path, **route.options())


def lacks_permission(route: Route, response: httpx2.Response) -> bool:
    """Whether it was refused for want of just what the route asks for."""
    if response.status_code != 403:
        return False
    error = response.json()["error"]
    return error["code"] == "AUTHORIZATION_DENIED" and facts(error) == {"missing_permission": route.permissions}


def test_routes_documents_and_the_table_of_roles_say_the_same(app: FastAPI, routes: list[Route]):
    asked = {}
    for context in iter_route_contexts(app.routes):
        calls = list(dependencies(context.dependant)) if getattr(context, "dependant", None) else []
        found = {GRANTED[call] for call in calls if call in GRANTED}
        assert len(found) <= 1, f"{context.path} asks for several permissions"
        for method in context.methods or ():
            asked[method, context.path.removeprefix(PREFIX)] = [str(scope) for scopes in found for scope in scopes]
    published = dict(re.findall(r"^\| `(\w+ /[^`]*)` \| (.*) \|$", roles_page.PAGE.read_text(), re.MULTILINE))
    for route in routes:
        assert route.permissions == asked[route.method, route.path], route.name
        named = re.findall(r"`([\w:]+)`", published[f"{route.method} {route.path}"])
        assert named == route.permissions, f"{route.name}: run `python -m api.cli roles-page`"
    assert len(published) == len(routes)


async def test_with_everything_but_what_is_needed_every_route_is_refused(with_scopes, org, guarded):
    needed = {frozenset(map(Scope, route.permissions)) for route in guarded}
    people: Needs = {scopes: await with_scopes(frozenset(Scope) - scopes) for scopes in needed}
    for route in guarded:
        response = await ask(route, people[frozenset(map(Scope, route.permissions))], org)
        assert lacks_permission(route, response), (route.name, response.status_code, response.text[:300])


async def test_with_exactly_what_is_needed_no_route_is_refused(with_scopes, org, guarded):
    """Any one of several permissions is enough."""
    needed = {Scope(name) for route in guarded for name in route.permissions}
    people = {scope: await with_scopes(frozenset({scope})) for scope in needed}
    for route in guarded:
        for name in route.permissions:
            response = await ask(route, people[Scope(name)], org)
            assert response.status_code not in {401, 500}, (route.name, response.text[:300])
            assert not lacks_permission(route, response), (route.name, name)


async def test_what_a_role_does_not_grant_nobody_of_that_role_may(app, caller, org, guarded):
    """Each role with all that it grants, on every route."""
    for role in (Role.VIEWER, Role.DEVELOPER, Role.RELEASE_MANAGER, Role.ADMIN):
        who = caller(role, org)
        for route in guarded:
            may = not GRANTS[role].isdisjoint(route.permissions)
            response = await ask(route, who, org)
            assert lacks_permission(route, response) is not may, (role, route.name, response.text[:300])
