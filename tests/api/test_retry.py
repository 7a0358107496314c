"""Retry, and promote of a finished deployment: a new one, or a clear no."""

import asyncio
from uuid import UUID

import pytest
from sqlalchemy import select

from contracts.operations import BuildAndDeployInput, DeployInput
from domain.approvals import ApprovalPolicy
from domain.lifecycle import OperationKind, Strategy
from domain.permissions import Scope
from domain.rollout_options import RolloutOptions
from runtime.ids import new_id
from storage.engine import transaction
from storage.models import AuditEntry, Deployment
from tests.api.conftest import make_world
from tests.support.facts import facts

WHY = {"reason": "the network is back"}
CANARY = {"deployment_strategy": "canary", "canary_percentage": 50}


@pytest.fixture
async def fresh(platform, caller, request):
    slug = request.node.name.translate(str.maketrans("_[]", "---")).lower()
    return await make_world(platform, caller, slug.strip("-"))


@pytest.fixture
def begun(operations):
    """A build-and-deploy that was accepted and nothing more."""

    async def begin(world, by=None, **options):
        body = {"version_tag": "1.0.0", "git_branch": "main", "environment": "dev", **options}
        accepted = await (by or world.developer).made(f"/features/{world.feature['id']}/build-and-deploy", body)
        operations.started.clear()
        return {"deployment_id": accepted["resource_id"], "operation_id": accepted["operation_id"]}

    return begin


def path(made, action="retry") -> str:
    return f"/deployments/{made['deployment_id']}/{action}"


async def audited(rows, made) -> list[AuditEntry]:
    async with transaction(rows) as session:
        asked = AuditEntry.action == "deployment.requested"
        found = select(AuditEntry).where(AuditEntry.resource_id == UUID(made["deployment_id"]), ~asked)
        return list((await session.scalars(found)).all())


@pytest.mark.parametrize("status", ["failed", "rolled_back", "cancelled", "superseded"])
async def test_a_good_build_is_deployed_again(*, fresh, build_of, end, operations, rows, settings, status):
    old = await build_of(fresh, "1.0.0", live=False)
    await end(old["deployment_id"], status)
    operations.started.clear()
    response = await fresh.developer.post(path(old), WHY)
    assert response.status_code == 201, response.text
    data = response.json()["data"]
    expected = {"status": "pending", "retry_of": old["deployment_id"], "build_id": old["build_id"]}
    assert data.items() >= {**expected, "environment": "dev", "deployment_strategy": "rolling"}.items()
    assert data["id"] != old["deployment_id"]
    assert data.items() >= {"reason": WHY["reason"], "version_tag": "1.0.0", "git_branch": "main"}.items()
    assert response.headers["operation-location"] == f"{settings.base_url}/v1/operations/{data['operation_id']}"
    [(kind, payload)] = operations.started
    assert kind is OperationKind.DEPLOY
    order = DeployInput.model_validate(payload)
    assert (str(order.build_id), order.version_tag, order.chosen.skip_analysis) == (old["build_id"], "1.0.0", False)
    [entry] = await audited(rows, old)
    assert (entry.action, entry.actor) == ("deployment.retry", fresh.developer.subject)
    assert (entry.reason, entry.request_id) == (WHY["reason"], response.headers["x-request-id"])
    assert entry.details == {"state": status, "new_deployment_id": data["id"]}
    assert (await fresh.developer.get(path(old, ""))).status_code == 404
    unchanged = (await fresh.developer.get(f"/deployments/{old['deployment_id']}")).json()["data"]
    assert unchanged["status"] == status


async def test_without_a_build_the_same_is_built_again(fresh, begun, end, operations):
    old = await begun(fresh, git_commit_hash="abc123def456", **CANARY)
    await end(old["deployment_id"], "failed")
    data = await fresh.developer.made(path(old), WHY)
    [(kind, payload)] = operations.started
    assert kind is OperationKind.BUILD_AND_DEPLOY
    order = BuildAndDeployInput.model_validate(payload)
    assert (order.version_tag, order.git_branch, order.git_commit_hash) == ("1.0.0", "main", "abc123def456")
    assert order.options == RolloutOptions(strategy=Strategy.CANARY, canary_percentage=50)
    assert data.items() >= {"build_id": None, "retry_of": old["deployment_id"], "canary_percentage": 50}.items()


async def test_a_failed_build_is_built_again_at_the_commit_that_failed(fresh, build_of, end, operations):
    old = await build_of(fresh, "1.0.0", live=False)
    await end(
        old["deployment_id"],
        "failed",
        build={"status": "failed", "artifact_digest": None, "git_commit_hash": "1" * 40},
    )
    operations.started.clear()
    await fresh.developer.made(path(old), WHY)
    [(kind, payload)] = operations.started
    assert kind is OperationKind.BUILD_AND_DEPLOY
    assert BuildAndDeployInput.model_validate(payload).git_commit_hash == "1" * 40


async def test_a_commit_that_was_fetched_and_not_built_is_tried_again(fresh, begun, end, operations, rows):
    old = await begun(fresh)
    await end(old["deployment_id"], "cancelled", operation="cancelled")
    async with transaction(rows) as session:
        (await session.get_one(Deployment, UUID(old["deployment_id"]))).git_commit_hash = "2" * 40
    await fresh.developer.made(path(old), WHY)
    [(_, payload)] = operations.started
    order = BuildAndDeployInput.model_validate(payload)
    assert (order.git_branch, order.git_commit_hash) == ("main", "2" * 40)


async def test_the_branch_may_be_left_out(fresh, operations):
    body = {"version_tag": "1.0.0", "environment": "dev"}
    await fresh.developer.made(f"/features/{fresh.feature['id']}/build-and-deploy", body)
    [(_, payload)] = operations.started
    assert BuildAndDeployInput.model_validate(payload).git_branch is None


async def test_a_retry_of_a_retry(fresh, build_of, end, operations):
    old = await build_of(fresh, "1.0.0", live=False)
    await end(old["deployment_id"], "failed")
    second = await fresh.developer.made(path(old), WHY)
    await end(second["id"], "cancelled", operation="cancelled")
    third = await fresh.developer.made(path({"deployment_id": second["id"]}), WHY)
    assert (third["retry_of"], third["build_id"]) == (second["id"], old["build_id"])


async def test_a_deployed_build_that_lost_its_artifact_cannot_be_retried(fresh, build_of, end, operations):
    old = await build_of(fresh, "1.0.0", live=False)
    await end(old["deployment_id"], "failed")
    second = await fresh.developer.made(path(old), WHY)
    await end(second["id"], "failed", build={"artifact_digest": None})
    response = await fresh.developer.post(path({"deployment_id": second["id"]}), WHY)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "INVALID_STATE")
    assert "no artifact" in response.json()["error"]["message"]


async def test_what_succeeded_or_is_under_way_is_not_retried(fresh, build_of, begun, operations, rows):
    done = await build_of(fresh, "1.0.0")
    operations.started.clear()
    response = await fresh.developer.post(path(done), WHY)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (400, "INVALID_STATE")
    assert facts(error) == {"state": "success", "action": "retry", "allowed": []}
    running = await begun(fresh, version_tag="1.1.0")
    response = await fresh.developer.post(path(running), WHY)
    error = response.json()["error"]
    assert (response.status_code, facts(error)["state"], facts(error)["allowed"]) == (400, "pending", ["abort"])
    assert operations.started == []
    assert await audited(rows, done) == await audited(rows, running) == []


@pytest.mark.parametrize("body", [{}, {"reason": " "}, {"reason": "x", "more": 1}])
async def test_a_retry_needs_a_reason(fresh, begun, end, body):
    old = await begun(fresh)
    await end(old["deployment_id"], "failed")
    assert (await fresh.developer.post(path(old), body)).status_code == 400


async def test_what_is_unknown_or_another_organizations_is_404(fresh, other_world, begun, end):
    old = await begun(fresh)
    await end(old["deployment_id"], "failed")
    assert (await fresh.developer.post(f"/deployments/{new_id()}/retry", WHY)).status_code == 404
    assert (await other_world.manager.post(path(old), WHY)).status_code == 404
    assert (await other_world.manager.post(path(old, "promote"), WHY)).status_code == 404


async def test_two_at_once_make_one_and_the_second_names_it(fresh, build_of, end, operations):
    old = await build_of(fresh, "1.0.0", live=False)
    await end(old["deployment_id"], "rolled_back")
    operations.started.clear()
    answers = await asyncio.gather(*(fresh.developer.post(path(old), WHY) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    made = next(answer.json()["data"]["id"] for answer in answers if answer.status_code == 201)
    refused = [answer.json()["error"] for answer in answers if answer.status_code == 409]
    assert {(error["code"], facts(error)["deployment_id"]) for error in refused} == {("CONFLICT", made)}
    assert len(operations.started) == 1
    promoted = await fresh.manager.post(path(old, "promote"), WHY)
    assert (promoted.status_code, facts(promoted.json()["error"])["deployment_id"]) == (409, made)
    await end(made, "failed")
    assert (await fresh.developer.post(path(old), WHY)).status_code == 201


async def test_an_idempotency_key_makes_one_retry(fresh, build_of, end, operations):
    old = await build_of(fresh, "1.0.0", live=False)
    await end(old["deployment_id"], "rolled_back")
    first, again = [await fresh.developer.post(path(old), WHY, headers={"Idempotency-Key": "r"}) for _ in range(2)]
    assert (first.status_code, again.status_code, again.content) == (201, 201, first.content)
    later = await fresh.developer.post(path(old), WHY, headers={"Prefer": "respond-async"})
    assert later.status_code == 409


@pytest.mark.parametrize("action", ["retry", "promote"])
async def test_who_prefers_it_gets_the_operation(fresh, build_of, end, operations, action):
    old = await build_of(fresh, "1.0.0", live=False)
    await end(old["deployment_id"], "failed")
    response = await fresh.manager.post(path(old, action), WHY, headers={"Prefer": "respond-async"})
    assert response.status_code == 202
    assert response.headers["preference-applied"] == "respond-async"
    made = (await fresh.manager.get(f"/deployments/{response.json()['data']['resource_id']}")).json()["data"]
    assert (made["retry_of"], made["skip_analysis"]) == (old["deployment_id"], action == "promote")
    order = DeployInput.model_validate(operations.started[-1][1])
    assert order.chosen.skip_analysis is (action == "promote")


async def test_production_is_approved_anew(fresh, begun, end, operations):
    production = {"environment": "production", "approval_notes": "first"}
    old = await begun(fresh, by=fresh.manager, **production)
    await end(old["deployment_id"], "failed")
    denied = await fresh.developer.post(path(old), WHY)
    assert denied.status_code == 403
    assert operations.started == []
    asked = await fresh.developer.made(path(old), {**WHY, "request_approval": True})
    [(_, payload)] = operations.started
    assert BuildAndDeployInput.model_validate(payload).approval == ApprovalPolicy()
    await end(asked["id"], "cancelled")
    operations.started.clear()
    # It waited for somebody before, so it waits again; whoever may approve does so with the reason.
    waits = await fresh.developer.made(path({"deployment_id": asked["id"]}), WHY)
    await end(waits["id"], "cancelled")
    yes = await fresh.manager.made(path({"deployment_id": waits["id"]}), WHY)
    orders = [BuildAndDeployInput.model_validate(payload) for _, payload in operations.started]
    assert [order.approval for order in orders] == [ApprovalPolicy(), None]
    assert yes["approval_notes"] == WHY["reason"]


async def test_overriding_a_freeze_needs_its_permission_and_is_audited(fresh, build_of, end, rows):
    old = await build_of(fresh, "1.0.0", live=False)
    await end(old["deployment_id"], "failed")
    assert (await fresh.developer.post(path(old), {**WHY, "override_freeze": True})).status_code == 403
    made = await fresh.manager.made(path(old), {**WHY, "override_freeze": True})
    assert made["override_freeze"] is True
    [entry] = await audited(rows, {"deployment_id": made["id"]})
    assert (entry.action, entry.reason) == ("deployment.override_freeze", WHY["reason"])


@pytest.mark.parametrize("status", ["failed", "rolled_back", "cancelled"])
async def test_promoted_after_its_end_it_is_a_new_one_without_analysis(
    *, fresh, build_of, end, operations, rows, status
):
    old = await build_of(fresh, "1.0.0", live=False)
    await end(old["deployment_id"], status)
    operations.started.clear()
    denied = await fresh.developer.post(path(old, "promote"), WHY)
    assert denied.status_code == 403
    assert Scope.DEPLOYMENTS_APPROVE in denied.json()["error"]["message"]
    response = await fresh.manager.post(path(old, "promote"), WHY)
    assert response.status_code == 201, response.text
    data = response.json()["data"]
    expected = {"retry_of": old["deployment_id"], "skip_analysis": True, "build_id": old["build_id"]}
    assert data.items() >= {**expected, "status": "pending"}.items()
    assert response.headers["operation-location"].endswith(data["operation_id"])
    [(kind, payload)] = operations.started
    assert (kind, DeployInput.model_validate(payload).chosen.skip_analysis) == (OperationKind.DEPLOY, True)
    assert operations.decided == []
    [entry] = await audited(rows, old)
    assert (entry.action, entry.details["new_deployment_id"]) == ("deployment.promote", data["id"])
    replayed = await fresh.manager.post(path(old, "promote"), WHY)
    assert replayed.status_code == 409


@pytest.mark.parametrize("build", [None, {"status": "failed"}, {"artifact_digest": None}])
async def test_without_a_good_build_there_is_nothing_to_promote(*, fresh, build_of, begun, end, operations, build):
    old = await (build_of(fresh, "1.0.0", live=False) if build else begun(fresh))
    await end(old["deployment_id"], "failed", build=build)
    operations.started.clear()
    response = await fresh.manager.post(path(old, "promote"), WHY)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "INVALID_STATE")
    assert "retry" in response.json()["error"]["message"]
    assert operations.started == []


async def test_a_replaced_one_is_retried_not_promoted(fresh, build_of, end):
    old = await build_of(fresh, "1.0.0", live=False)
    await end(old["deployment_id"], "superseded")
    response = await fresh.manager.post(path(old, "promote"), WHY)
    assert response.status_code == 400
    assert facts(response.json()["error"])["allowed"] == ["retry"]


async def test_promoting_into_production_needs_a_reason(fresh, build_of, end):
    old = await build_of(fresh, "1.0.0", environment="production", live=False)
    await end(old["deployment_id"], "rolled_back")
    silent = await fresh.manager.post(path(old, "promote"), {})
    assert (silent.status_code, silent.json()["error"]["details"][0]["field"]) == (400, "reason")
    assert (await fresh.manager.made(path(old, "promote"), WHY))["approval_notes"] == WHY["reason"]


async def test_one_that_is_being_taken_back_by_hand_is_left_alone(fresh, build_of, end):
    old = await build_of(fresh, "1.0.0")
    await end(old["deployment_id"], "rolling_back", operation="completed")
    for action in ("retry", "promote"):
        response = await fresh.manager.post(path(old, action), WHY)
        assert response.status_code == 400
        assert "being stopped" in response.json()["error"]["message"]
