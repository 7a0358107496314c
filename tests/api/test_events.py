"""Events that the API writes with its changes, and the shape of all: that in which it shows the resource."""

import json
from functools import lru_cache
from typing import Any
from uuid import UUID

import pytest
from jsonschema import Draft202012Validator
from sqlalchemy import select, text

from api.openapi.files import contents
from api.openapi.traversal import target
from domain import events
from domain.errors import DependencyError
from domain.events import EventType
from domain.webhooks import PING
from runtime.ids import new_id, now
from storage.engine import transaction
from storage.models import Build, Deployment, Event, Feature, Operation, WebhookEndpoint
from storage.models.base import columns_of
from storage.repositories.event_writer import EventWriter
from storage.repositories.webhook_health import disabled_event
from tests.api.bodies import CASE, RESULT
from tests.api.conftest import make_world

REPORT = {"version_tag": "8.0.0", "git_branch": "main", "git_commit_hash": "abc123d", "tests_passed": 4}


@pytest.fixture
async def fresh(platform, caller):
    return await make_world(platform, caller, f"o{new_id()}")


@pytest.fixture
def events_of(rows):
    """The events of a resource in their order."""

    async def read(resource_id: str) -> list[Event]:
        found = select(Event).where(Event.resource_id == UUID(resource_id)).order_by(Event.sequence)
        async with transaction(rows) as session:
            events = list(await session.scalars(found))
        for event in events:
            check_documented(event.type, event.payload)
        return events

    return read


@lru_cache
def _documented() -> dict[str, Any]:
    return json.loads(contents()["openapi.json"])


def check_documented(kind: str, payload: dict[str, Any]) -> None:
    """The `webhooks` section says what is sent: neither less nor more."""
    document = _documented()
    media = document["webhooks"][kind]["post"]["requestBody"]["content"]["application/json"]
    body = {
        "event": kind,
        "timestamp": "2026-01-31T10:00:00Z",
        "event_id": str(new_id()),
        "retry_count": 0,
        "data": json.loads(json.dumps(payload)),
    }
    schema = {**media["schema"], "components": document["components"]}
    checker = Draft202012Validator.FORMAT_CHECKER
    for sent in (body, media["example"]):
        assert [fault.message for fault in Draft202012Validator(schema, format_checker=checker).iter_errors(sent)] == []
    [(noun, resource)] = payload.items()
    data = target(document, target(document, media["schema"])["properties"]["data"])
    told = target(document, data["properties"][noun])["properties"]
    assert resource.keys() - {"truncated"} == told.keys() - {"truncated"}


def test_every_event_that_is_sent_is_in_the_document():
    assert list(_documented()["webhooks"]) == [*EventType, PING]


MOMENT = now()
STANDING = dict.fromkeys(("id", "project_id", "deployment_id", "build_id"), UUID(int=7)) | {
    **dict.fromkeys(("created_at", "updated_at"), MOMENT),
    "name": "dev",
    "host": "dev.shop.acme.localhost",
    "state": "active",
    "replicas": 2,
    "build_number": 7,
    "version_tag": "1.0.0",
    "git_commit_hash": "abc123d",
}


def test_events_of_environments_and_webhooks_are_as_documented():
    degraded = events.environment_payload(STANDING, release=STANDING, build=STANDING, wanted=2, healthy=1)
    check_documented("environment.degraded", degraded)
    displaced = events.displaced_payload(STANDING, release=STANDING, instance_id="x-0", port_before=1, port=2)
    check_documented("instance.displaced", displaced)
    endpoint = WebhookEndpoint(
        id=new_id(), url="https://example.com", status="disabled", disabled_reason="gone", disabled_at=MOMENT
    )
    disabled = disabled_event(endpoint)
    check_documented(disabled.type, disabled.payload)


async def test_a_ping_is_as_documented(fresh, events_of, platform):
    hooks = f"/organizations/{fresh.org['id']}/webhooks"
    made = await platform.made(hooks, {"url": "https://example.com/x"})
    assert (await platform.post(f"{hooks}/{made['id']}/ping")).status_code in (200, 201, 202)
    assert [event.type for event in await events_of(made["id"])] == ["ping"]


async def test_the_event_of_a_feature_is_what_the_api_shows(fresh, events_of):
    path = f"/features/{fresh.feature['id']}"
    await fresh.developer.patch(path, {"description": "not a status"})
    await fresh.developer.patch(path + "/status", {"status": "in_progress"})
    await fresh.developer.patch(path + "/status", {"status": "in_progress"})
    created, changed = await events_of(fresh.feature["id"])
    assert (created.type, changed.type) == ("feature.created", "feature.status_changed")
    assert created.payload == {"feature": fresh.feature}
    now_shown = (await fresh.developer.get(path)).json()["data"]
    moved = {"previous_status": "not_started", "current_status": "in_progress"}
    assert changed.payload == {"feature": {**now_shown, **moved}}
    assert str(changed.organization_id) == fresh.org["id"]
    assert str(changed.project_id) == fresh.project["id"]
    assert (changed.resource_type, changed.fanned_out_at) == ("feature", None)


async def test_the_event_of_a_test_result_is_what_the_api_shows(fresh, events_of):
    case = await fresh.developer.made(f"/features/{fresh.feature['id']}/tests", CASE)
    result = await fresh.developer.made(
        f"/testcases/{case['id']}/results", {**RESULT, "code_coverage_percent": 92.5, "logs": [{"line": 1}]}
    )
    [event] = await events_of(result["id"])
    assert (event.type, str(event.project_id)) == ("test.completed", fresh.project["id"])
    assert event.payload == {"test_result": {**result, "build_id": None}}


async def test_the_event_of_a_reported_build_is_what_the_api_shows(fresh, events_of):
    path = f"/features/{fresh.feature['id']}/builds"
    made = await fresh.developer.made(path, REPORT)
    tests, build = await events_of(made["id"])
    assert (tests.type, build.type) == ("test.completed", "build.completed")
    assert build.payload == {"build": made}
    assert tests.payload["test_result"]["assertions_passed"] == 4
    untested = {name: value for name, value in REPORT.items() if name != "tests_passed"}
    bare = await fresh.developer.made(path, {**untested, "version_tag": "8.1.0"})
    assert [event.type for event in await events_of(bare["id"])] == ["build.completed"]


async def test_events_of_deployments_operations_and_builds_are_what_the_api_shows(fresh, build_of, rows):
    made = await build_of(fresh, "1.0.0")
    builders = {
        "deployment": (Deployment, events.deployment_payload),
        "operation": (Operation, events.operation_payload),
        "build": (Build, events.build_payload),
    }
    for noun, (model, payload) in builders.items():
        shown = (await fresh.developer.get(f"/{noun}s/{made[f'{noun}_id']}")).json()["data"]
        async with transaction(rows) as session:
            row = await session.get_one(model, UUID(made[f"{noun}_id"]))
        assert payload(columns_of(row)) == {noun: shown}
        kind = "deployment.approval_requested" if noun == "deployment" else f"{noun}.completed"
        check_documented(kind, payload(columns_of(row)))


async def test_a_refused_change_has_no_event(fresh, events_of):
    path = f"/features/{fresh.feature['id']}/status"
    assert (await fresh.developer.patch(path, {"status": "completed"})).status_code == 422
    stale = await fresh.developer.patch(path, {"status": "in_progress"}, headers={"If-Match": '"old"'})
    assert stale.status_code == 412
    assert [event.type for event in await events_of(fresh.feature["id"])] == ["feature.created"]


async def test_a_death_before_the_commit_leaves_no_event(fresh, rows, events_of):
    async def die() -> None:
        async with transaction(rows) as session:
            feature = await session.get_one(Feature, UUID(fresh.feature["id"]), with_for_update=True)
            await EventWriter(session).changed(feature, {"implementation_status": "testing"})
            await session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    with pytest.raises(DependencyError):
        await die()
    assert [event.type for event in await events_of(fresh.feature["id"])] == ["feature.created"]


async def test_a_repeated_request_has_one_event(fresh, events_of):
    for _ in range(2):
        headers = {"Idempotency-Key": "one"}
        body = {"status": "in_progress"}
        await fresh.developer.patch(f"/features/{fresh.feature['id']}/status", body, headers=headers)
    assert len(await events_of(fresh.feature["id"])) == 2


async def test_the_relay_is_woken_by_the_commit(fresh, rows):
    async with rows() as session:
        raw: Any = (await (await session.connection()).get_raw_connection()).driver_connection
        await raw.set_autocommit(True)
        await raw.execute("LISTEN events")
        await fresh.developer.patch(f"/features/{fresh.feature['id']}/status", {"status": "in_progress"})
        woken = [notice.channel async for notice in raw.notifies(timeout=120, stop_after=1)]
        await raw.execute("UNLISTEN events")
        await raw.set_autocommit(False)
    assert woken == ["events"]


def test_a_large_payload_is_cut_and_says_so():
    feature = dict.fromkeys(events.FEATURE, None) | {"id": new_id(), "description": "ä" * 40_000, "name": "n"}
    told = events.feature_payload(feature)["feature"]
    assert told["truncated"] == ["description"]
    assert len(told["description"]) == events.MAX_TEXT + 1
