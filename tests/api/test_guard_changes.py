"""Who may deploy cannot switch the approval rule off, ship, and switch it on."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from api.rate_limits.sensitive_limits import Limit
from domain.permissions import Role
from domain.rate_limits import MINUTE_S, RateWindow
from runtime.ids import new_id, now
from runtime.trusted_issuers import TrustedIssuer
from storage.engine import transaction
from storage.models import AuditEntry, GuardChange
from tests.api.conftest import make_world
from tests.api.people import as_member, joined
from tests.support.facts import facts

RULE = {"required": True, "min_approvals": 1, "four_eyes": True}
MANY = Limit("invitation", [RateWindow("minute", 100_000, MINUTE_S)])


@pytest.fixture(autouse=True)
def _many_join(monkeypatch):
    """All of these members come from one address, more in a minute than anywhere else."""
    monkeypatch.setattr("api.routes.invitations.INVITATIONS", MANY)


@pytest.fixture
async def fresh(platform, caller):
    """With three members who may approve: a rule that nobody could satisfy is refused."""
    world = await make_world(platform, caller, f"guarded-{new_id()}")
    for _ in range(3):
        await joined(platform, world.org["id"], f"{new_id()}@example.com", "release_manager")
    return world


@pytest.fixture
def second(caller, fresh):
    return caller(Role.RELEASE_MANAGER, fresh.org["id"])


def path(fresh, name: str = "production") -> str:
    return f"/projects/{fresh.project['id']}/environments/{name}"


async def guarded(fresh, **settings) -> None:
    answer = await fresh.manager.patch(path(fresh), {"approval": RULE, **settings})
    assert answer.status_code == 200, answer.text


async def rule_of(fresh) -> dict | None:
    return (await fresh.manager.get(path(fresh))).json()["data"]["settings"]["approval"]


@pytest.mark.parametrize("role", [Role.RELEASE_MANAGER, Role.ADMIN])
@pytest.mark.parametrize(
    "patch",
    [{"approval": None}, {"approval": {**RULE, "required": False}}, {"approval": {**RULE, "four_eyes": False}}],
)
async def test_nobody_switches_the_rule_off_alone(*, fresh, second, caller, role, patch):
    await guarded(fresh)
    one = caller(role, fresh.org["id"])
    waiting = await one.patch(path(fresh), patch)
    assert waiting.status_code == 202, waiting.text
    change = waiting.json()["data"]
    expected = {"status": "pending", "weakens": ["approval"], "approvals": [], "requested_by": one.subject}
    assert change.items() >= expected.items()
    assert await rule_of(fresh) == RULE
    decide = f"{path(fresh)}/changes/{change['id']}"
    own = await one.post(f"{decide}/approve")
    assert (own.status_code, own.json()["error"]["code"]) == (403, "AUTHORIZATION_DENIED")
    assert (await fresh.developer.post(f"{decide}/approve")).status_code == 403
    approved = await second.post(f"{decide}/approve", {"approval_notes": "seen"})
    assert approved.status_code == 200, approved.text
    assert approved.json()["data"]["status"] == "applied"
    assert await rule_of(fresh) == patch["approval"]
    late = await second.post(f"{decide}/approve")
    assert (late.status_code, late.json()["error"]["code"]) == (400, "INVALID_STATE")


async def test_what_tightens_needs_nobody_and_what_was_said_stands_in_the_audit_log(fresh, second, rows):
    await guarded(fresh)
    answer = await fresh.manager.patch(path(fresh), {"approval": {**RULE, "min_approvals": 2}, "policy": "reject"})
    assert answer.status_code == 200
    change = (await fresh.manager.patch(path(fresh), {"policy": "queue"})).json()["data"]
    assert change["weakens"] == ["policy"]
    listed = (await fresh.developer.get(f"{path(fresh)}/changes")).json()["data"]
    assert [one["id"] for one in listed] == [change["id"]]
    rejected = await second.post(f"{path(fresh)}/changes/{change['id']}/reject", {"reason": "no"})
    assert rejected.json()["data"]["status"] == "rejected"
    async with transaction(rows) as session:
        found = select(AuditEntry).where(AuditEntry.details["change_id"].astext == change["id"])
        entries = (await session.scalars(found.order_by(AuditEntry.id))).all()
    assert [(one.action, one.actor) for one in entries] == [
        ("environment.change_requested", fresh.manager.subject),
        ("environment.change_rejected", second.subject),
    ]


async def test_the_stricter_of_the_rules_then_and_now_decides_about_a_change(fresh, second, caller):
    await guarded(fresh)
    change = (await fresh.manager.patch(path(fresh), {"approval": None})).json()["data"]
    await guarded(fresh, approval={**RULE, "min_approvals": 2})
    decide = f"{path(fresh)}/changes/{change['id']}/approve"
    assert (await second.post(decide)).json()["data"]["status"] == "pending"
    assert (await second.post(decide)).status_code == 400
    third = caller(Role.ADMIN, fresh.org["id"])
    assert (await third.post(decide)).json()["data"]["status"] == "applied"


async def test_a_platform_admin_may_and_so_may_who_satisfies_the_rule_alone(fresh, platform):
    await guarded(fresh)
    assert (await platform.patch(path(fresh), {"approval": None})).status_code == 200
    await guarded(fresh, approval={**RULE, "four_eyes": False})
    assert (await fresh.manager.patch(path(fresh), {"approval": None})).status_code == 200


async def test_a_change_that_nobody_decides_expires(fresh, second, rows):
    await guarded(fresh)
    change = (await fresh.manager.patch(path(fresh), {"approval": None})).json()["data"]
    async with transaction(rows) as session:
        await session.execute(update(GuardChange).values(expires_at=now() - timedelta(seconds=1)))
    assert (await fresh.manager.get(f"{path(fresh)}/changes/{change['id']}")).json()["data"]["status"] == "expired"
    assert (await second.post(f"{path(fresh)}/changes/{change['id']}/approve")).status_code == 400


async def test_changes_that_wait_are_bounded(fresh):
    await guarded(fresh)
    answers = [(await fresh.manager.patch(path(fresh), {"approval": None})).status_code for _ in range(21)]
    assert answers == [202] * 20 + [409]


async def test_deleting_the_project_is_no_way_around_its_rule(fresh, caller, platform):
    await guarded(fresh)
    admin = caller(Role.ADMIN, fresh.org["id"])
    refused = await admin.http.delete(f"/projects/{fresh.project['id']}")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "CONFLICT")
    assert facts(refused.json()["error"]) == {"environments": ["production"]}
    assert (await platform.http.delete(f"/projects/{fresh.project['id']}")).status_code == 204


STRICT = {**RULE, "min_approvals": 2}
LENIENT = {"required": False, "min_approvals": 1, "four_eyes": False}


async def test_a_request_cannot_weaken_the_environments_rule(*, fresh, build_of, end, operations):
    """Neither with notes, nor by asking for its own, weaker approval, nor by a deployment made of an older one."""
    await guarded(fresh, approval=STRICT)
    old = await build_of(fresh, "1.0.0", environment="production", live=False)
    terms = {"environment": "production", "git_branch": "main", "deployment_strategy": "rolling"}
    build = f"/features/{fresh.feature['id']}/build-and-deploy"
    asked = [
        (build, {**terms, "version_tag": "1.1.0", "approval_notes": "I say yes"}),
        (build, {**terms, "version_tag": "1.2.0", "request_approval": True}),
        (build, {**terms, "version_tag": "1.3.0", "approval_notes": "me", "override_freeze": True}),
        (f"/builds/{old['build_id']}/deploy", {"environment": "production", "approval_notes": "I say yes"}),
    ]
    for path_, body in asked:
        operations.started.clear()
        answer = await fresh.manager.post(path_, body)
        assert answer.status_code in (201, 202), answer.text
        [(_, order)] = operations.started
        assert (order["approval"], order["approved_by"]) == ({"min_approvals": 2, "four_eyes": True}, [])
    for action in ("retry", "promote"):
        await end(old["deployment_id"], "failed")
        operations.started.clear()
        answer = await fresh.manager.post(f"/deployments/{old['deployment_id']}/{action}", {"reason": "I say yes"})
        assert answer.status_code == 201, answer.text
        [(_, order)] = operations.started
        assert (order["approval"], order["approved_by"]) == ({"min_approvals": 2, "four_eyes": True}, [])
        await end(answer.json()["data"]["id"], "failed")


@pytest.mark.parametrize(
    "field", ["approval", "approved_by", "required", "four_eyes", "min_approvals", "skip_approval"]
)
async def test_a_request_brings_no_rule_of_its_own(fresh, build_of, field):
    await guarded(fresh, approval=STRICT)
    old = await build_of(fresh, "1.0.0", environment="production", live=False)
    given = {field: LENIENT}
    notes = {"environment": "production", "approval_notes": "fine"}
    for path_, body in [
        (f"/features/{fresh.feature['id']}/build-and-deploy", {**notes, "version_tag": "1.1.0", "git_branch": "main"}),
        (f"/builds/{old['build_id']}/deploy", notes),
        (f"/deployments/{old['deployment_id']}/approve", {}),
        (f"/deployments/{old['deployment_id']}/promote", {}),
        (f"/deployments/{old['deployment_id']}/retry", {"reason": "again"}),
    ]:
        answer = await fresh.manager.post(path_, {**body, **given})
        assert (answer.status_code, [one["field"] for one in answer.json()["error"]["details"]]) == (400, [field])


async def test_promoting_past_the_analysis_needs_whoever_may_approve_where_people_have_to(fresh, build_of, operations):
    made = await build_of(fresh, "1.0.0", environment="production", live=False)
    url = f"/deployments/{made['deployment_id']}/promote"
    assert (await fresh.developer.post(url)).status_code == 200
    await guarded(fresh)
    assert (await fresh.developer.post(url)).status_code == 403
    assert (await fresh.manager.post(url)).status_code == 200


async def test_one_person_cannot_lock_an_environment_by_asking_for_more_people_than_there_are(fresh, platform):
    """Taking the rule back would need the same approvals."""
    await guarded(fresh)
    for rule, most in (
        ({**RULE, "min_approvals": 10}, 2),
        ({**RULE, "min_approvals": 3}, 2),
        ({**RULE, "min_approvals": 4, "four_eyes": False}, 3),
    ):
        answer = await fresh.manager.patch(path(fresh), {"approval": rule})
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (422, "UNPROCESSABLE"), answer.text
        assert facts(error).items() >= {"people": 3, "most": most}.items()
        assert f"ask for at most {most}" in error["message"]
    assert await rule_of(fresh) == RULE
    await guarded(fresh, approval={**RULE, "min_approvals": 2})
    # Whoever can take it back alone may ask for anything.
    assert (await platform.patch(path(fresh), {"approval": {**RULE, "min_approvals": 10}})).status_code == 200


async def test_those_whom_one_person_invited_by_a_link_are_not_more_people_than_that(fresh, platform, caller):
    """The inviter may have used the links: with four eyes they do not even approve what the inviter asked for."""
    world = await make_world(platform, caller, f"puppets-{new_id()}")
    org = world.org["id"]
    admin = as_member(caller, await joined(platform, org, f"{new_id()}@example.com", "admin"))
    for _ in range(2):
        await joined(admin, org, f"{new_id()}@example.com", "release_manager")
    two = {**RULE, "min_approvals": 2}
    answer = await admin.patch(path(world), {"approval": two})
    assert (answer.status_code, facts(answer.json()["error"])["people"]) == (422, 2)
    for email in ("ann", "bob"):  # of one mailbox
        await joined(platform, org, f"{email[0]}+{email}@{org}.example.com", "release_manager")
    await joined(platform, org, f"a+again@{org}.example.com", "release_manager")
    assert (await admin.patch(path(world), {"approval": two})).status_code == 200


async def test_who_may_approve_elsewhere_only_is_not_counted(platform, caller):
    world = await make_world(platform, caller, f"alone-{new_id()}")
    for role in ("viewer", "developer", "developer"):
        await joined(platform, world.org["id"], f"{new_id()}@example.com", role)
    answer = await world.manager.patch(path(world), {"approval": {**RULE, "min_approvals": 2}})
    assert (answer.status_code, facts(answer.json()["error"])["people"]) == (422, 0)
    assert (await world.manager.patch(path(world), {"approval": RULE})).status_code == 200


async def test_where_another_issuer_says_who_belongs_to_it_so_many_people_have_to_say_yes_first(
    fresh, platform, caller, app
):
    world = await make_world(platform, caller, f"elsewhere-{new_id()}")
    issuer = TrustedIssuer.model_validate(
        {"name": "corp", "issuer": "i", "audience": "a", "jwks_url": "https://idp/x", "organization": world.org["id"]}
    )
    parts, was = app.state.parts, app.state.parts.settings
    app.state.parts = replace(parts, settings=was.model_copy(update={"trusted_issuers": (issuer,)}))
    try:
        rule = {**RULE, "min_approvals": 2}
        waiting = await world.manager.patch(path(world), {"approval": rule})
        assert waiting.status_code == 202, waiting.text
        change = waiting.json()["data"]
        assert change.items() >= {"min_approvals": 2, "four_eyes": True, "weakens": []}.items()
        decide = f"{path(world)}/changes/{change['id']}/approve"
        assert (await world.manager.post(decide)).status_code == 403
        for status in ("pending", "applied"):
            approved = await caller(Role.RELEASE_MANAGER, world.org["id"]).post(decide)
            assert approved.json()["data"]["status"] == status
        assert await rule_of(world) == rule
    finally:
        app.state.parts = parts
