"""Deploying a build that exists: the contract's 201, its rules, its list, its preview."""

import asyncio
from uuid import UUID

import pytest
from sqlalchemy import select, update

from contracts.operations import DeployInput
from domain.approvals import ApprovalPolicy
from domain.errors import DependencyError
from domain.lifecycle import OperationKind
from domain.permissions import Role
from runtime.ids import new_id
from storage.engine import transaction
from storage.models import AuditEntry, Build, Deployment, OutboxEntry, Project, Release

STAGING = {"environment": "staging"}


@pytest.fixture(scope="module")
async def built(world, build_of):
    return await build_of(world, "1.0.0")


@pytest.fixture
def path(built):
    return f"/builds/{built['build_id']}/deploy"


async def test_the_201_of_the_contract_and_what_stands_behind_it(*, world, built, path, operations, rows, settings):
    body = {"environment": "production", "deployment_strategy": "blue_green", "approval_notes": "Approved for v1.0.0"}
    response = await world.manager.post(path, body)
    assert response.status_code == 201, response.text
    envelope = response.json()
    assert (envelope["success"], envelope["status"]) == (True, 201)
    data = envelope["data"]
    expected = {
        "build_id": built["build_id"],
        "environment": "production",
        "status": "pending",
        "deployment_strategy": "blue_green",
        "health_check_status": None,
        "approval_notes": "Approved for v1.0.0",
        "retry_of": None,
        "skip_analysis": False,
        "override_freeze": False,
        "superseded_by": None,
        "next_open": None,
        "preview": None,
    }
    assert data.items() >= expected.items()
    assert data["created_at"].endswith("Z")
    base = f"{settings.base_url}/v1"
    assert response.headers["operation-location"] == f"{base}/operations/{data['operation_id']}"
    assert response.headers["location"] == f"{base}/deployments/{data['id']}"
    async with transaction(rows) as session:
        entries = await session.scalars(
            select(OutboxEntry).where(OutboxEntry.resource_id == UUID(data["operation_id"]))
        )
        [entry] = entries.all()
    order = DeployInput.model_validate(entry.payload)
    assert (str(order.build_id), order.version_tag, order.approval) == (built["build_id"], "1.0.0", None)
    assert order.place.host == "production.shop.acme.localhost"
    assert operations.started == [(OperationKind.DEPLOY, entry.payload)]
    operation = (await world.developer.get(f"/operations/{data['operation_id']}")).json()["data"]
    assert [step["name"] for step in operation["steps"]] == ["rollout"]
    assert (await world.developer.get(f"/deployments/{data['id']}")).json()["data"] == data


async def test_strategy_defaults_to_rolling_and_temporal_may_be_away(world, path, operations):
    operations.fault = DependencyError("away")
    response = await world.developer.post(path, STAGING)
    assert (response.status_code, response.json()["data"]["deployment_strategy"]) == (201, "rolling")


@pytest.mark.parametrize("prefer", ["respond-async", "wait=5, Respond-Async"])
async def test_who_prefers_it_gets_the_operation(world, path, operations, prefer):
    response = await world.developer.post(path, STAGING, headers={"Prefer": prefer})
    assert response.status_code == 202
    assert response.headers["preference-applied"] == "respond-async"
    data = response.json()["data"]
    assert (data["status"], data["resource_type"]) == ("pending", "deployment")
    assert response.headers["retry-after"] == "5"
    assert len(operations.started) == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"environment": "moon"}, "environment"),
        ({"deployment_strategy": "canary"}, "canary_percentage"),
        ({"canary_percentage": 10}, "canary_percentage"),
        ({"deployment_strategy": "canary", "canary_percentage": 101}, "canary_percentage"),
        ({"skip_analysis": "perhaps"}, "skip_analysis"),
        ({"version_tag": "1.0.0"}, "version_tag"),
    ],
)
async def test_bad_requests_name_the_field(world, path, change, field):
    response = await world.developer.post(path, {**STAGING, **change})
    assert response.status_code == 400
    assert [fault["field"] for fault in response.json()["error"]["details"]] == [field]


async def test_production_needs_permission_and_notes_or_somebody_else(world, path, operations):
    denied = await world.developer.post(path, {"environment": "production", "approval_notes": "me"})
    assert denied.status_code == 403
    silent = await world.manager.post(path, {"environment": "production"})
    assert silent.json()["error"]["details"][0]["field"] == "approval_notes"
    assert operations.started == []
    asked = await world.developer.post(path, {"environment": "production", "request_approval": True})
    assert asked.status_code == 201
    [(_, payload)] = operations.started
    order = DeployInput.model_validate(payload)
    assert (order.approval, order.approved_by) == (ApprovalPolicy(), ())


@pytest.mark.parametrize("past", ["skip_analysis", "override_freeze"])
async def test_going_past_a_rule_needs_permission_and_is_audited(world, path, operations, rows, past):
    denied = await world.developer.post(path, {**STAGING, past: True})
    assert denied.status_code == 403
    assert "deployments:approve" in denied.json()["error"]["message"]
    response = await world.manager.post(path, {**STAGING, past: True, "approval_notes": "hotfix"})
    data = response.json()["data"]
    assert data[past] is True
    [(_, payload)] = operations.started
    assert payload["options"][past] is True
    async with transaction(rows) as session:
        found = select(AuditEntry).where(AuditEntry.resource_id == UUID(data["id"])).order_by(AuditEntry.id)
        [_, entry] = (await session.scalars(found)).all()
    assert (entry.action, entry.actor, entry.reason) == (f"deployment.{past}", world.manager.subject, "hotfix")
    assert entry.request_id == response.headers["x-request-id"]


async def test_a_dark_launch(world, path, operations):
    dark = {**STAGING, "deployment_strategy": "canary", "canary_percentage": 0}
    assert (await world.developer.post(path, dark)).json()["data"]["canary_percentage"] == 0


async def test_what_is_unknown_or_another_organizations_is_404(world, other_world, path):
    assert (await world.developer.post(f"/builds/{new_id()}/deploy", STAGING)).status_code == 404
    assert (await other_world.developer.post(path, STAGING)).status_code == 404
    assert (await other_world.developer.get(path.replace("deploy", "deployments"))).status_code == 404


@pytest.mark.parametrize(
    ("change", "words"), [({"status": "failed"}, "is failed"), ({"artifact_digest": None}, "no artifact")]
)
async def test_a_build_that_cannot_be_deployed_says_why(*, world, build_of, rows, operations, change, words):
    made = await build_of(world, f"2.0.{len(words)}")
    async with transaction(rows) as session:
        await session.execute(update(Build).where(Build.id == UUID(made["build_id"])).values(**change))
    operations.started.clear()
    response = await world.developer.post(f"/builds/{made['build_id']}/deploy", STAGING)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "INVALID_STATE")
    assert words in response.json()["error"]["message"]
    assert operations.started == []


async def test_only_active_projects_are_deployed(world, path, rows, operations):
    project = update(Project).where(Project.id == UUID(world.project["id"]))
    async with transaction(rows) as session:
        await session.execute(project.values(status="archived"))
    response = await world.developer.post(path, STAGING)
    async with transaction(rows) as session:
        await session.execute(project.values(status="active"))
    assert (response.status_code, response.json()["error"]["code"]) == (400, "INVALID_STATE")
    assert "archived" in response.json()["error"]["message"]


async def test_an_idempotency_key_makes_one_of_many(world, path, operations):
    answers = [await world.developer.post(path, STAGING, headers={"Idempotency-Key": "one"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[1].headers["idempotent-replayed"] == "true"
    assert answers[1].headers["operation-location"] == answers[0].headers["operation-location"]
    assert answers[1].content == answers[0].content
    assert len(operations.started) == 1


async def test_a_build_under_deployment_does_not_block_the_next_version(world, path, operations):
    await world.developer.made(path, STAGING)
    body = {"version_tag": "1.0.0", "git_branch": "main", "environment": "dev"}
    again = await world.developer.post(f"/features/{world.feature['id']}/build-and-deploy", body)
    assert again.status_code == 409
    assert "deploy that build" in again.json()["error"]["message"]


async def test_the_deployments_of_a_build_newest_first(world, build_of, operations):
    made = await build_of(world, "3.0.0")
    url = f"/builds/{made['build_id']}"
    later = [await world.developer.made(f"{url}/deploy", STAGING) for _ in range(2)]
    page = (await world.developer.get(f"{url}/deployments?page_size=2")).json()
    assert [row["id"] for row in page["data"]] == [later[1]["id"], later[0]["id"]]
    assert page["pagination"]["total"] == 3
    assert all(row["preview"] is None for row in page["data"])


async def test_the_preview_is_for_who_may_deploy_while_it_lasts(
    *, world, built, path, operations, rows, caller, settings
):
    made = await world.developer.made(path, STAGING)
    async with transaction(rows) as session:
        deployment = await session.get_one(Deployment, UUID(made["id"]))
        session.add(
            Release(
                id=deployment.id,
                organization_id=deployment.organization_id,
                environment_id=deployment.environment_id,
                deployment_id=deployment.id,
                build_id=deployment.build_id,
                artifact_digest="sha256:00",
                service={},
                replicas=1,
                preview_token="secret",
            )
        )
    url = f"/deployments/{made['id']}"
    host = settings.service_url("staging.shop.acme.localhost")
    expected = {"header": "x-delivery-preview", "token": "secret", "url": host}
    assert (await world.developer.get(url)).json()["data"]["preview"] == expected
    viewer = caller(Role.VIEWER, world.org["id"])
    assert (await viewer.get(url)).json()["data"]["preview"] is None
    listed = (await world.developer.get(f"/builds/{built['build_id']}/deployments")).json()["data"]
    assert all(row["preview"] is None for row in listed)
    async with transaction(rows) as session:
        (await session.get_one(Deployment, UUID(made["id"]))).status = "success"
    assert (await world.developer.get(url)).json()["data"]["preview"] is None


async def test_many_at_once_are_all_taken(world, path, operations):
    answers = await asyncio.gather(*(world.developer.post(path, STAGING) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["data"]["id"] for answer in answers}) == 5
