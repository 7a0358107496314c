"""Lists ask the database as often for one row as for many: no statement a row."""

from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from api.auth import actor
from tests.api.bodies import CASE, RESULT
from tests.api.test_clients import APPLICATION

ROWS = 4


@pytest.fixture
async def lists(world, platform, build_of) -> list[str]:
    """The lists of the API, each with several rows."""
    developer, org = world.developer, world.org["id"]
    for number in range(ROWS):
        await platform.made("/organizations", {"name": f"Org {number}", "slug": f"org-{number}"})
        project = {"name": f"P {number}", "slug": f"p-{number}", "repository_url": "https://git.example.com/acme/p"}
        await developer.made(f"/organizations/{org}/projects", project)
        wish = {"title": f"Wish {number}", "description": "d", "acceptance_criteria": ["a"]}
        await developer.made(f"/projects/{world.project['id']}/requirements", wish)
        feature = {"name": f"F {number}", "description": "d"}
        await developer.made(f"/requirements/{world.requirement['id']}/features", feature)
        case = await developer.made(f"/features/{world.feature['id']}/tests", CASE)
        made = await build_of(world, f"5.0.{number}")
        joined = await platform.made(
            f"/organizations/{org}/invitations", {"email": f"{number}@example.com", "role": "viewer"}
        )
        accept = {"token": joined["token"], "name": "Somebody", "password": "correct horse"}
        assert (await platform.post("/invitations/accept", accept)).status_code == 200
        await platform.made(f"/organizations/{org}/service-accounts", {"name": "ci", "role": "viewer"})
        await platform.made(f"/organizations/{org}/clients", APPLICATION)
    for _ in range(ROWS):
        await developer.made(f"/testcases/{case['id']}/results", RESULT)
        await developer.made(f"/builds/{made['build_id']}/deploy", {"environment": "dev"})
        await platform.made(f"/organizations/{org}/api-keys", {"name": "ci", "scopes": ["tests:read"]})
    project_id, feature_id = world.project["id"], world.feature["id"]
    return [
        "/organizations",
        f"/organizations/{org}/projects",
        f"/projects/{project_id}/requirements",
        f"/requirements/{world.requirement['id']}/features",
        f"/features/{feature_id}/tests",
        f"/testcases/{case['id']}/results",
        f"/features/{feature_id}/builds",
        f"/projects/{project_id}/builds",
        f"/projects/{project_id}/deployments",
        f"/builds/{made['build_id']}/deployments",
        "/operations",
        *(f"/organizations/{org}/{things}" for things in ("members", "invitations", "service-accounts", "clients")),
        f"/organizations/{org}/api-keys",
    ]


async def test_a_list_asks_as_often_for_one_row_as_for_many(lists, platform):
    for path in lists:
        few, many = await _asked(platform, path, 1), await _asked(platform, path, ROWS)
        assert few == many, path
        assert many <= 5, (path, "a parent, a count, a page, and what opens and closes a transaction")


async def test_environments_ask_no_statement_a_release_either(world, build_of):
    path = f"/projects/{world.project['id']}/environments"
    before = await _count(world.developer, path)
    for environment in ("staging", "production"):
        await build_of(world, f"6.0.{len(environment)}", environment=environment)
    assert await _count(world.developer, path) <= before + 2


async def _asked(caller: Any, path: str, size: int) -> int:
    statements = await _count(caller, f"{path}?page_size={size}")
    shown = (await caller.get(f"{path}?page_size={size}")).json()["data"]
    assert len(shown) == size, path
    return statements


async def _count(caller: Any, path: str) -> int:
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if actor.current_actor() is not actor.SYSTEM:  # what the process looks at by itself is nobody's request
            seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        assert (await caller.get(path)).status_code == 200, path
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    return len(seen)
