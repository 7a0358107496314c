"""Settings of environments: who may set them, what is refused, who is told; and what a request there has to respect."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import select

from api.auth.principal import Principal
from api.services.environments.settings import approval_of, check_environment, settings_of
from domain.approvals import ApprovalPolicy
from domain.errors import ConflictError, ForbiddenError
from domain.permissions import Role, Scope, permissions_of
from runtime.ids import now
from storage.engine import transaction
from storage.models import AuditEntry, Environment, OutboxEntry, Project
from tests.api.conftest import make_world

DEFAULTS = {"policy": "queue", "approval": None, "windows": []}
WEEKEND = {
    "name": "weekend",
    "kind": "deny",
    "time_zone": "Europe/Berlin",
    "start": "2026-01-03T00:00:00",
    "duration": "P2D",
    "rrule": "FREQ=WEEKLY;BYDAY=SA",
}


@pytest.fixture
async def fresh(platform, caller, request):
    return await make_world(platform, caller, f"e{abs(hash(request.node.name)) % 10**9}")


def path(world, name="dev") -> str:
    return f"/projects/{world.project['id']}/environments/{name}"


def always(**changes):
    """A freeze that is in force now."""
    start = (now() - timedelta(hours=1)).replace(tzinfo=None, microsecond=0).isoformat()
    return {"name": "now", "kind": "deny", "time_zone": "UTC", "start": start, "duration": "PT3H", **changes}


async def test_an_environment_nobody_touched_shows_the_defaults(fresh):
    seen = (await fresh.developer.get(path(fresh))).json()["data"]
    assert seen["settings"] == DEFAULTS
    assert seen["window"] == {"open": True, "reason": None, "next_open": None, "next_close": None}
    assert seen["queue"] == []
    assert seen["id"] is None


async def test_settings_are_made_merged_audited_and_sent(fresh, rows):
    first = await fresh.manager.patch(path(fresh), {"policy": "supersede", "windows": [WEEKEND]})
    assert first.status_code == 200, first.text
    seen = first.json()["data"]
    assert seen["settings"] == {**DEFAULTS, "policy": "supersede", "windows": [WEEKEND]}
    assert seen["id"]
    approval = {"required": True, "min_approvals": 1, "four_eyes": False}  # the manager's own yes is enough
    second = (await fresh.manager.patch(path(fresh), {"approval": approval})).json()["data"]
    assert second["settings"] == {**seen["settings"], "approval": approval}
    assert (await fresh.developer.get(path(fresh))).json()["data"]["settings"] == second["settings"]
    cleared = (await fresh.manager.patch(path(fresh), {"approval": None, "windows": []})).json()["data"]
    assert cleared["settings"] == {**DEFAULTS, "policy": "supersede"}
    async with transaction(rows) as session:
        found = select(AuditEntry).where(AuditEntry.resource_id == UUID(seen["id"])).order_by(AuditEntry.id)
        made, *entries = (await session.scalars(found)).all()
        told = select(OutboxEntry).where(OutboxEntry.resource_id == UUID(seen["id"]))
        messages = (await session.scalars(told)).all()
    assert [sorted(entry.changes) for entry in entries] == [
        ["policy", "windows"],
        ["approval"],
        ["approval", "windows"],
    ]
    assert made.action == "environment.created"
    assert entries[0].changes["policy"] == {"from": "queue", "to": "supersede"}
    assert (entries[0].actor, entries[0].action) == (fresh.manager.subject, "environment.settings_changed")
    assert {(m.kind, m.topic) for m in messages} == {("workflow_signal", "settings_changed")}
    assert len(messages) == 3


async def test_what_changes_nothing_is_neither_audited_nor_sent(fresh, rows):
    for body in ({"windows": []}, {"policy": "queue"}):
        seen = (await fresh.manager.patch(path(fresh), body)).json()["data"]
    async with transaction(rows) as session:
        actions = select(AuditEntry.action).where(AuditEntry.resource_id == UUID(seen["id"]))
        assert (await session.scalars(actions)).all() == ["environment.created"]
        told = select(OutboxEntry).where(OutboxEntry.resource_id == UUID(seen["id"]))
        assert (await session.scalars(told)).all() == []


async def test_the_same_key_twice_is_one_change(fresh, rows):
    headers = {"Idempotency-Key": "one"}
    first = await fresh.manager.patch(path(fresh), {"policy": "reject"}, headers=headers)
    again = await fresh.manager.patch(path(fresh), {"policy": "reject"}, headers=headers)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json()["data"] == first.json()["data"]


async def test_setting_needs_its_permission_and_the_own_project(fresh, other_world):
    assert (await fresh.developer.patch(path(fresh), {"policy": "queue"})).status_code == 403
    assert (await other_world.manager.patch(path(fresh), {"policy": "queue"})).status_code == 404
    assert (await fresh.manager.patch(path(fresh, "moon"), {"policy": "queue"})).status_code == 404


async def test_an_empty_change_is_refused(world):
    response = await world.manager.patch(path(world), {})
    assert response.status_code == 400
    assert "at least one field" in response.json()["error"]["details"][0]["message"]


BAD = [
    ({"policy": "never"}, "policy"),
    ({"policy": None}, "policy"),
    ({"colour": "red"}, "colour"),
    ({"approval": {"min_approvals": 11}}, "approval.min_approvals"),
    ({"approval": {"min_approvals": True}}, "approval.min_approvals"),
    ({"windows": [{**WEEKEND, "rrule": "FREQ=SECONDLY"}]}, "windows.0.rrule"),
    ({"windows": [WEEKEND, {**WEEKEND, "name": "x", "rrule": "every saturday"}]}, "windows.1.rrule"),
    ({"windows": [{**WEEKEND, "rrule": "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"}]}, "windows.0.rrule"),
    ({"windows": [{**WEEKEND, "rrule": "FREQ=DAILY;INTERVAL=0"}]}, "windows.0.rrule"),
    ({"windows": [{**WEEKEND, "rrule": "FREQ=HOURLY;COUNT=10000;BYMINUTE=0,15,30,45"}]}, "windows.0.rrule"),
    ({"windows": [{**WEEKEND, "rrule": "FREQ=YEARLY;BYDAY=53MO;BYMONTH=2;BYSETPOS=366"}]}, "windows.0.rrule"),
    (
        {"windows": [{**WEEKEND, "name": str(n), "rrule": "FREQ=HOURLY", "duration": "PT1M"} for n in range(11)]},
        "windows",
    ),
    ({"windows": [{**WEEKEND, "time_zone": "Mars/Olympus"}]}, "windows.0.time_zone"),
    ({"windows": [{**WEEKEND, "time_zone": "../etc/passwd"}]}, "windows.0.time_zone"),
    ({"windows": [{**WEEKEND, "duration": "PT0S"}]}, "windows.0.duration"),
    ({"windows": [{**WEEKEND, "duration": -1}]}, "windows.0.duration"),
    ({"windows": [{**WEEKEND, "duration": "P32D"}]}, "windows.0.duration"),
    ({"windows": [{**WEEKEND, "start": "2026-01-03T00:00:00Z"}]}, "windows.0.start"),
    ({"windows": [{**WEEKEND, "start": "1066-10-14T09:00:00"}]}, "windows.0.start"),
    ({"windows": [{**WEEKEND, "name": "a\u0000b"}]}, "windows.0.name"),
    ({"windows": [WEEKEND, WEEKEND]}, "windows"),
    ({"windows": [{**WEEKEND, "name": f"w{number}"} for number in range(51)]}, "windows"),
]


@pytest.mark.parametrize(("body", "field"), BAD, ids=lambda value: value if isinstance(value, str) else "")
async def test_what_makes_no_sense_is_refused_by_field(world, body, field):
    response = await world.manager.patch(path(world), body)
    assert response.status_code == 400, response.text
    [fault] = response.json()["error"]["details"]
    assert fault["field"] == field
    assert fault["message"]
    assert fault["pointer"] == "/" + field.replace(".", "/")


async def test_windows_that_never_open_are_refused(world):
    always_frozen = [{**WEEKEND, "rrule": "FREQ=DAILY", "duration": "P1D"}]
    gone = [{**WEEKEND, "kind": "allow", "rrule": "FREQ=WEEKLY;COUNT=2"}]
    for windows in (always_frozen, gone):
        response = await world.manager.patch(path(world, "staging"), {"windows": windows})
        assert response.status_code == 422, response.text
        assert "within two years" in response.json()["error"]["message"]
    assert (await world.manager.get(path(world, "staging"))).json()["data"]["settings"] == DEFAULTS


async def test_a_freeze_is_shown_with_its_end(fresh):
    seen = (await fresh.manager.patch(path(fresh), {"windows": [always()]})).json()["data"]
    window = seen["window"]
    assert (window["open"], window["reason"]) == (False, "the freeze window 'now'")
    opens = datetime.fromisoformat(window["next_open"])
    assert timedelta(hours=1.9) < opens - now() < timedelta(hours=2.1)
    assert opens.tzinfo == UTC or opens.utcoffset() == timedelta(0)


async def test_who_waits_is_shown_by_age(fresh, build_of, rows):
    made = [await build_of(fresh, f"1.0.{number}", live=False) for number in range(3)]
    async with transaction(rows) as session:
        row = await session.scalar(select(Environment).where(Environment.project_id == UUID(fresh.project["id"])))
        row.holder_deployment_id = UUID(made[0]["deployment_id"])
    seen = (await fresh.developer.get(path(fresh))).json()["data"]
    assert seen["lock"]["version_tag"] == "1.0.0"
    assert [(q["position"], q["version_tag"], q["deployment_id"]) for q in seen["queue"]] == [
        (1, "1.0.1", made[1]["deployment_id"]),
        (2, "1.0.2", made[2]["deployment_id"]),
    ]


def principal(world, *, cut=frozenset()) -> Principal:
    permissions = permissions_of(Role.RELEASE_MANAGER) - cut
    return Principal("ann", UUID(world.org["id"]), Role.RELEASE_MANAGER, permissions)


async def checked(rows, world, who, *, override_freeze=False):
    async with transaction(rows) as session:
        project = await session.get_one(Project, UUID(world.project["id"]))
        row = await session.scalar(
            select(Environment).where(Environment.project_id == project.id, Environment.name == "dev")
        )
        await check_environment(session, who, row, project, override_freeze=override_freeze)


async def test_a_busy_environment_that_rejects_names_holder_and_position(fresh, build_of, rows):
    await build_of(fresh, "1.0.0")
    await fresh.manager.patch(path(fresh), {"policy": "reject"})
    await checked(rows, fresh, principal(fresh))
    await fresh.manager.patch(path(fresh), {"policy": "queue"})
    held, waiting = [await build_of(fresh, version, live=False) for version in ("1.0.1", "1.0.2")]
    await checked(rows, fresh, principal(fresh))
    await fresh.manager.patch(path(fresh), {"policy": "reject"})
    with pytest.raises(ConflictError) as refused:
        await checked(rows, fresh, principal(fresh))
    assert refused.value.code == "CONFLICT"
    assert refused.value.details == {
        "deployment_id": held["deployment_id"],
        "operation_id": held["operation_id"],
        "version_tag": "1.0.1",
        "position": 2,
    }
    for word in (held["deployment_id"], held["operation_id"], "1.0.1", "number 2"):
        assert word in refused.value.message
    assert waiting["deployment_id"] not in refused.value.message


async def test_overriding_a_freeze_needs_its_permission(fresh, build_of, rows):
    await build_of(fresh, "1.0.0")
    weak = principal(fresh, cut={Scope.DEPLOYMENTS_APPROVE})
    await checked(rows, fresh, weak)
    await checked(rows, fresh, principal(fresh), override_freeze=True)
    with pytest.raises(ForbiddenError):
        await checked(rows, fresh, weak, override_freeze=True)


def test_approval_counts_only_when_it_is_required():
    assert approval_of(settings_of(None)) is None
    row = Environment(settings={"approval": {"required": False, "min_approvals": 3}})
    assert approval_of(settings_of(row)) is None
    row = Environment(settings={"approval": {"required": True, "min_approvals": 3, "four_eyes": False}})
    assert approval_of(settings_of(row)) == ApprovalPolicy(min_approvals=3, four_eyes=False)
