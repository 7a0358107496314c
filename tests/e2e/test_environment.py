"""One rollout at a time on the real stack: who waits for whom, who takes whose place, and what a freeze holds."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from contracts.names import SignalName, environment_workflow_id
from contracts.rollouts import EnvironmentState, LockGrant
from tests.chaos.frozen import frozen
from tests.support.facts import facts
from tests.support.services import until

pytestmark = [pytest.mark.e2e, pytest.mark.deep, pytest.mark.timeout(400)]

# Nobody asks for anything, so that the analysis cannot decide and asks a person.
UNSURE = {
    "rollout": {"scale_down_delay": 1, "verify_seconds": 0.5},
    "analysis": {"duration": 2, "min_requests": 100_000, "compare": ["errors"]},
}
CANARY = {"deployment_strategy": "canary", "canary_percentage": 50}


class Place:
    """An application in `dev` with a good version, and shortcuts to what the API tells about it."""

    def __init__(self, app):
        self.app, self.api = app, app.api

    def set(self, **settings):
        return self.api.call("PATCH", f"/projects/{self.app.project['id']}/environments/dev", settings)

    def environment(self):
        return self.api.environment(self.app.project["id"])

    def deployment(self, begun):
        return self.api.deployment(begun.accepted.deployment_id)

    def operation(self, begun):
        return self.api.operation(begun.accepted.operation_id)

    def until(self, begun, status):
        until(lambda: self.deployment(begun)["status"] == status, f"{begun.version} {status}", 180)

    def says(self, begun, words):
        until(lambda: words in (self.operation(begun)["current_step"] or ""), f"{begun.version} saying {words}", 180)
        return self.operation(begun)["current_step"]

    def decide(self, begun, action, **body):
        self.api.call("POST", f"/deployments/{begun.accepted.deployment_id}/{action}", body)

    def ends(self, begun):
        return self.api.wait(begun.accepted.operation_id, 180)

    def paused_canary(self):
        begun = self.app.begin(spec=UNSURE, **CANARY)
        self.until(begun, "paused")
        return begun


@pytest.fixture
def place(platform, request):
    app = platform.app(f"turns-{request.node.name.removeprefix('test_')[:30].replace('_', '-').rstrip('-')}")
    app.ship_good()
    return Place(app)


def instances_of(records, begun) -> list[str]:
    """Instances of a release that the target still has."""
    release = records.one("SELECT environment_id FROM releases WHERE id = %s", begun.accepted.deployment_id)
    return [name for name in records.shims(release["environment_id"]) if name.startswith(begun.accepted.deployment_id)]


def test_the_second_waits_with_position_and_holder(place):
    first = place.paused_canary()
    second = place.app.begin()
    place.until(second, "queued")
    step = place.says(second, "position 1")
    assert first.accepted.deployment_id in step
    seen = place.environment()
    assert seen["lock"]["deployment_id"] == first.accepted.deployment_id
    assert seen["queue"] == [
        {
            "deployment_id": second.accepted.deployment_id,
            "operation_id": second.accepted.operation_id,
            "position": 1,
            "version_tag": second.version,
        }
    ]
    place.decide(first, "abort", reason="enough")
    assert place.ends(second)["status"] == "completed"
    assert place.app.service.version() == second.version


@pytest.mark.long
async def test_a_forged_lock_moves_nothing_beside_what_is_under_way(place, platform, records):
    """By a signal of whoever reaches Temporal; what the rows say decides, for as long as a lost holder takes to end."""
    first = await asyncio.to_thread(place.paused_canary)
    second = await asyncio.to_thread(place.app.begin)
    await asyncio.to_thread(place.until, second, "queued")
    environment_id = records.one("SELECT environment_id FROM deployments WHERE id = %s", first.accepted.deployment_id)
    stranger = await Client.connect(platform.stack.addresses["temporal"], data_converter=pydantic_data_converter)
    workflow_id = records.workflow_of(second.accepted.operation_id)
    grant = LockGrant(environment_id=environment_id["environment_id"], workflow_id=workflow_id)
    await stranger.get_workflow_handle(workflow_id).signal(SignalName.TURN_GRANTED, grant)
    operation = await asyncio.to_thread(place.ends, second)
    assert (operation["status"], operation["error"]["code"]) == ("failed", "INVALID_STATE")
    assert f"held by deployment {first.accepted.deployment_id}" in operation["error"]["message"]
    assert not records.all("SELECT id FROM releases WHERE id = %s", second.accepted.deployment_id)
    assert place.deployment(first)["status"] == "paused"
    place.decide(first, "abort", reason="the test is over")
    assert (await asyncio.to_thread(place.ends, first))["status"] == "cancelled"


def test_a_newer_version_takes_the_place_of_a_paused_one(place, records):
    place.set(policy="supersede")
    older = place.paused_canary()
    assert instances_of(records, older)
    newer = place.app.begin()
    operation = place.ends(older)
    assert (operation["status"], operation["error"]["code"]) == ("cancelled", "SUPERSEDED")
    assert newer.version in operation["error"]["message"]
    replaced = place.deployment(older)
    assert (replaced["status"], replaced["superseded_by"]) == ("superseded", newer.accepted.deployment_id)
    assert place.ends(newer)["status"] == "completed"
    assert place.app.service.version() == newer.version
    assert instances_of(records, older) == []
    assert place.environment()["current_release"]["version_tag"] == newer.version


def test_a_freeze_lets_finish_what_is_under_way_and_holds_the_next_until_it_is_taken_away(place):
    under_way = place.paused_canary()
    start = datetime.now(UTC).replace(tzinfo=None, microsecond=0) - timedelta(minutes=5)
    freeze = {"name": "release day", "kind": "deny", "time_zone": "UTC", "start": start.isoformat(), "duration": "PT3H"}
    seen = place.set(windows=[freeze])
    assert (seen["window"]["open"], seen["window"]["reason"]) == (False, "the freeze window 'release day'")
    following = place.app.begin()
    place.says(following, "position 1")
    place.decide(under_way, "promote", reason="it is good")
    assert place.ends(under_way)["status"] == "completed"
    assert place.app.service.version() == under_way.version
    step = place.says(following, "Held by the freeze window 'release day'")
    opens = start.replace(tzinfo=UTC) + timedelta(hours=3)
    assert step.endswith(f"opens {opens:%Y-%m-%d %H:%M} UTC")
    held = place.deployment(following)
    assert held["status"] == "queued"
    assert datetime.fromisoformat(held["next_open"]) == opens
    place.set(windows=[])
    until(lambda: "Held" not in (place.operation(following)["current_step"] or ""), "going on", 180)
    assert place.ends(following)["status"] == "completed"
    assert place.deployment(following)["next_open"] is None
    assert place.app.service.version() == following.version


@pytest.mark.deep
def test_a_freeze_that_is_taken_away_while_temporal_is_away_ends_when_it_is_back(place, records):
    start = datetime.now(UTC).replace(tzinfo=None, microsecond=0) - timedelta(minutes=5)
    freeze = {"name": "frozen", "kind": "deny", "time_zone": "UTC", "start": start.isoformat(), "duration": "PT1H"}
    place.set(windows=[freeze])
    held = place.app.begin()
    place.says(held, "Held by the freeze window 'frozen'")
    with frozen(records, "temporal"):
        assert place.set(windows=[])["window"]["open"]
        until(lambda: delayed(records, place.environment()["id"]), "a message that waits", 180)
    assert place.ends(held)["status"] == "completed"


def delayed(records, environment_id: str) -> bool:
    query = "SELECT attempts, done_at FROM outbox WHERE resource_id = %s ORDER BY id DESC LIMIT 1"
    row = records.one(query, environment_id)
    return row["attempts"] > 0 and row["done_at"] is None


@pytest.mark.deep
def test_a_rollback_goes_through_a_freeze(place):
    good = place.environment()["current_release"]["version_tag"]
    bad = place.app.ship_good()
    start = datetime.now(UTC).replace(tzinfo=None, microsecond=0) - timedelta(minutes=5)
    freeze = {"name": "frozen", "kind": "deny", "time_zone": "UTC", "start": start.isoformat(), "duration": "PT1H"}
    place.set(windows=[freeze])
    assert place.app.service.version() == bad.version
    place.api.rollback(bad.deployment["id"], "it misbehaves")
    until(lambda: place.app.service.version() == good, "the old version", 180)


@pytest.mark.deep
async def test_the_entity_knows_what_runs_and_stays_small(place, platform):
    shipped = place.app.ship_good()
    temporal = await Client.connect(platform.stack.addresses["temporal"], data_converter=pydantic_data_converter)
    environment_id = UUID(place.environment()["id"])
    entity = temporal.get_workflow_handle(environment_workflow_id(environment_id))
    async with asyncio.timeout(120):  # the turn is given back, with what runs now, after the operation has ended
        while (seen := await entity.query("state", result_type=EnvironmentState)).holder is not None:  # noqa: ASYNC110 - told by another process
            await asyncio.sleep(0.05)
    assert seen.current
    assert (str(seen.current.release_id), seen.current.version) == (shipped.deployment["id"], shipped.version)
    assert seen.previous
    assert (await entity.describe()).history_length < 80


def test_a_busy_environment_that_rejects_names_the_holder_and_the_position(place):
    """Scenario 11."""
    place.app.ship_good()
    place.set(policy="reject")
    held = place.paused_canary()
    body = {"version_tag": "9.9.9", "git_branch": "main", "environment": "dev"}
    answer = place.api.raw("POST", f"/v1/features/{place.app.feature['id']}/build-and-deploy", json=body)
    assert answer.status_code == 409, answer.text
    error = answer.json()["error"]
    assert error["code"] == "CONFLICT"
    assert facts(error)["deployment_id"] == held.accepted.deployment_id
    assert facts(error)["operation_id"] == held.accepted.operation_id
    assert facts(error)["position"] == 1
    assert held.accepted.deployment_id in error["message"]
    place.decide(held, "abort", reason="done")
    assert place.ends(held)["status"] == "cancelled"


@pytest.mark.deep
def test_a_rollback_of_what_is_live_does_not_wait_for_a_paused_canary(place):
    first = place.app.ship_good()
    second = place.app.ship_good()
    canary = place.paused_canary()
    answer = place.api.raw("POST", f"/v1/deployments/{second.deployment['id']}/rollback", json={"reason": "complaints"})
    assert answer.status_code in (200, 202), answer.text  # which of them depends on how busy the machine is
    rollback = place.api.deployment(second.deployment["id"])["rollback_operation_id"]
    assert place.api.wait(rollback, 180)["status"] == "completed"
    assert place.app.service.version() == first.version
    assert place.ends(canary)["status"] == "cancelled"
    assert place.deployment(canary)["status"] == "superseded"


@pytest.mark.deep
def test_an_environment_may_want_two_people(place, platform):
    place.set(approval={"required": True, "min_approvals": 2, "four_eyes": True})
    begun = place.app.begin()
    place.until(begun, "awaiting_approval")
    for number, person in enumerate(("ben", "cid"), 1):
        token = platform.stack.token(sub=person)
        path = f"/v1/deployments/{begun.accepted.deployment_id}/approve"
        answer = place.api.raw("POST", path, json={"reason": "fine"}, headers={"authorization": f"Bearer {token}"})
        assert answer.status_code == 200, answer.text
        if number == 1:
            place.says(begun, "1 of 2 so far")
    assert place.ends(begun)["status"] == "completed"
