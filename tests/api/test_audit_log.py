"""The audit log as its organization reads it and takes it away."""

import asyncio
import json
from datetime import timedelta

import pytest
from sqlalchemy import text

from api.routes.audit_log import BATCH
from domain.permissions import Role
from runtime.ids import new_id, now
from storage.engine import transaction
from tests.api.conftest import make_world
from tests.support.facts import facts

MANY = 3_000
FIVE_HUNDRED = text(
    "INSERT INTO audit_log (id, organization_id, actor, action, resource_type, changes, details) "
    "SELECT gen_random_uuid(), :org, 'ann', 'feature.updated', 'feature', '{}', '{}' FROM generate_series(1, 500)"
)


@pytest.fixture
async def fresh(platform, caller):
    return await make_world(platform, caller, f"o{new_id()}")


@pytest.fixture
def admin(fresh, caller):
    return caller(Role.ADMIN, fresh.org["id"])


@pytest.fixture
def path(fresh) -> str:
    return f"/organizations/{fresh.org['id']}/audit-log"


async def shown(caller, path: str, **query: str) -> list[dict]:
    response = await caller.get(path, params=query)
    assert response.status_code == 200, response.text
    return response.json()["data"]


async def test_it_is_read_newest_first_with_places_in_the_chain(fresh, admin, path):
    found = await shown(admin, path)
    actions = ["feature.created", "requirement.created", "project.created", "organization.created"]
    assert [entry["action"] for entry in found] == actions
    assert [entry["sequence"] for entry in found] == [4, 3, 2, 1]
    assert len({entry["hash"] for entry in found}) == 4
    assert found[0]["actor"] == fresh.developer.subject
    assert found[0]["changes"]["name"] == {"to": "Basket"}


async def test_pages_and_cursors_show_each_entry_once(admin, path):
    first = (await admin.get(path, params={"page_size": 3})).json()
    assert first["pagination"]["total"] == 4
    cursor = first["pagination"]["next_cursor"]
    rest = await shown(admin, path, page_size="3", cursor=cursor)
    assert [entry["sequence"] for entry in [*first["data"], *rest]] == [4, 3, 2, 1]


async def test_filters(fresh, admin, path):
    async def actions(**query: str) -> list[str]:
        return [entry["action"] for entry in await shown(admin, path, **query)]

    assert await actions(action="project.created") == ["project.created"]
    assert await actions(resource_type="feature", resource_id=fresh.feature["id"]) == ["feature.created"]
    assert await actions(actor=fresh.developer.subject) == ["feature.created", "requirement.created", "project.created"]
    middle = (await shown(admin, path))[1]["occurred_at"]
    assert await actions(since=middle) == ["feature.created", "requirement.created"]
    assert await actions(until=middle) == ["project.created", "organization.created"]
    assert await actions(since=(now() + timedelta(hours=1)).isoformat()) == []
    for vague in ("2026-01-01T00:00:00", "0.5", "yesterday"):
        refused = await admin.get(path, params={"since": vague})
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "VALIDATION_ERROR")


async def test_who_may(fresh, world, admin, path, caller):
    for suffix in ("", "/export"):
        for one in (fresh.developer, fresh.manager):
            response = await one.get(path + suffix)
            assert response.status_code == 403
            assert facts(response.json()["error"]) == {"missing_permission": ["audit:read"]}
        stranger = caller(Role.ADMIN, world.org["id"])
        assert (await stranger.get(path + suffix)).status_code == 403
        nobody = caller(Role.PLATFORM_ADMIN)
        assert (await nobody.get(f"/organizations/{new_id()}/audit-log{suffix}")).status_code == 404
        assert (await nobody.get(path + suffix)).status_code == 200


async def test_the_export_is_one_entry_a_line_oldest_first(fresh, admin, path):
    response = await admin.get(path + "/export")
    assert response.headers["content-type"].startswith("application/x-ndjson")
    assert fresh.org["id"] in response.headers["content-disposition"]
    lines = [json.loads(line) for line in response.text.splitlines()]
    assert lines == list(reversed(await shown(admin, path)))
    some = await admin.get(path + "/export", params={"action": "project.created"})
    assert [json.loads(line)["action"] for line in some.text.splitlines()] == ["project.created"]


async def test_many_are_exported_without_holding_them_all(*, app, fresh, admin, path, rows):
    for _ in range(MANY // 500):
        async with transaction(rows) as session:
            await session.execute(FIVE_HUNDRED, {"org": fresh.org["id"]})
    last, pieces = 0, 0
    async for piece in exported(app, admin, path + "/export"):
        numbers = [json.loads(line)["sequence"] for line in piece.splitlines()]
        assert len(numbers) <= BATCH
        assert numbers == list(range(last + 1, last + 1 + len(numbers)))
        last, pieces = numbers[-1], pieces + 1
        if pieces == 1:  # what is written meanwhile is the next export's
            await admin.patch(f"/organizations/{fresh.org['id']}", {"description": "changed"})
    assert (last, pieces) == (MANY + 4, MANY // BATCH + 1)


async def exported(app, caller, path: str):
    """The pieces of a streamed answer; httpx's transport for applications would put them together first."""
    pieces: asyncio.Queue[bytes | None] = asyncio.Queue(1)

    async def receive():
        await asyncio.sleep(60)

    async def send(message) -> None:
        if message["type"] == "http.response.body" and message.get("body"):
            await pieces.put(message["body"])

    async def run() -> None:
        headers = [(b"authorization", f"Bearer {caller.token}".encode()), (b"host", b"api.test")]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/v1" + path,
            "raw_path": ("/v1" + path).encode(),
            "query_string": b"",
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "server": ("api.test", 80),
        }
        await app(scope, receive, send)
        await pieces.put(None)

    task = asyncio.create_task(run())
    while (piece := await pieces.get()) is not None:
        yield piece
    await task
