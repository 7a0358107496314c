"""Decisions about deployments under way: who may, what is refused, what the audit log says."""

from uuid import UUID

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.exc import DBAPIError

from contracts.operations import BuildAndDeployInput
from domain.errors import ConflictError, DependencyError, ErrorCode, ForbiddenError
from domain.people import Action, ApprovalPolicy
from storage.engine import transaction
from storage.models import AuditEntry

ACTIONS = [action for action in Action if action not in (Action.ABORT, Action.RETRY)]


def path(made, action) -> str:
    return f"/deployments/{made['deployment_id']}/{action}"


@pytest.fixture(scope="module")
async def running(world, build_of):
    return await build_of(world, "7.0.0", live=False)


@pytest.mark.parametrize("action", ACTIONS)
async def test_a_decision_is_told_and_audited(world, running, operations, rows, action):
    response = await world.manager.post(path(running, action), {"reason": "because"})
    assert response.status_code == 200, response.text
    assert response.json()["data"]["id"] == running["deployment_id"]
    [(operation_id, told, person)] = operations.decided
    assert (str(operation_id), told) == (running["operation_id"], action)
    assert (person.actor, person.reason) == (world.manager.subject, "because")
    async with transaction(rows) as session:
        found = select(AuditEntry).where(AuditEntry.action == f"deployment.{action}")
        [entry] = (await session.scalars(found)).all()
    assert (entry.actor, entry.reason) == (world.manager.subject, "because")
    assert entry.resource_id == UUID(running["deployment_id"])
    assert entry.request_id == response.headers["x-request-id"]


@pytest.mark.parametrize("action", ["approve", "pause", "resume", "promote"])
async def test_a_decision_needs_no_body(world, running, operations, action):
    response = await world.manager.post(path(running, action))
    assert response.status_code == 200, response.text
    [(_, told, person)] = operations.decided
    assert (told, person.reason) == (action, "")


async def test_abort_is_told_as_an_abort(world, running, operations):
    response = await world.developer.post(path(running, "abort"), {"reason": "because"})
    assert response.status_code == 200, response.text
    [(operation_id, request)] = operations.stopped
    assert (str(operation_id), request.reason) == (running["operation_id"], "because")


@pytest.mark.parametrize("action", ["approve", "reject"])
async def test_approving_needs_its_permission(world, running, operations, action):
    response = await world.developer.post(path(running, action), {"reason": "because"})
    assert response.status_code == 403
    assert "deployments:approve" in response.json()["error"]["message"]
    assert operations.decided == []


async def test_what_the_workflow_refuses_is_a_400_with_what_is_allowed_and_leaves_no_audit(
    world, running, operations, rows
):
    details = {"state": "rolling_out", "action": "resume", "allowed": ["abort", "pause", "promote"]}
    operations.fault = ConflictError("cannot resume", code=ErrorCode.INVALID_STATE, details=details)
    before = await _count(rows)
    response = await world.manager.post(path(running, "resume"), {})
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["code"] == "INVALID_STATE"
    assert await _count(rows) == before


async def test_four_eyes_and_an_engine_that_is_away(world, running, operations):
    operations.fault = ForbiddenError("four eyes")
    assert (await world.manager.post(path(running, "approve"), {})).status_code == 403
    operations.fault = DependencyError("away")
    away = await world.manager.post(path(running, "approve"), {})
    assert away.status_code == 503
    assert away.headers["retry-after"]
    operations.fault = DependencyError("late", code=ErrorCode.TIMEOUT)
    late = await world.manager.post(path(running, "approve"), {})
    assert (late.status_code, late.json()["error"]["code"]) == (504, "TIMEOUT")
    assert late.headers["retry-after"]


async def test_what_may_still_be_carried_out_is_audited_although_nobody_answered(
    world, running, operations, rows, monkeypatch
):
    async def unheard(*_: object, **__: object) -> None:
        raise DependencyError("the workflow engine did not answer in time")

    monkeypatch.setattr(operations, "decide", unheard)
    response = await world.manager.post(path(running, "pause"), {"reason": "unheard"})
    assert response.status_code == 503
    async with transaction(rows) as session:
        [entry] = (await session.scalars(select(AuditEntry).where(AuditEntry.reason == "unheard"))).all()
    assert (entry.action, entry.actor, entry.details["outcome"]) == (
        "deployment.pause",
        world.manager.subject,
        "unknown",
    )


@pytest.mark.parametrize("action", list(Action))
async def test_a_finished_deployment_takes_no_decisions(world, build_of, operations, action):
    made = await build_of(world, f"8.0.{list(Action).index(action)}")
    response = await world.manager.post(path(made, action), {"reason": "late"})
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["code"] == "INVALID_STATE"
    assert error["details"] == {"state": "success", "action": action, "allowed": []}
    assert "rollback takes it back" in error["message"]
    assert operations.decided == []


async def test_the_database_keeps_the_audit_log(rows, world, running, operations):
    await world.manager.post(path(running, "pause"), {})
    for statement in (update(AuditEntry).values(actor="nobody"), delete(AuditEntry)):
        with pytest.raises(DBAPIError, match="append-only"):
            async with transaction(rows) as session:
                await session.execute(statement)


async def test_production_can_be_asked_for_by_who_may_not_approve(world, operations):
    body = {
        "version_tag": "9.0.0",
        "git_branch": "main",
        "environment": "production",
        "request_approval": True,
    }
    response = await world.developer.post(f"/features/{world.feature['id']}/build-and-deploy", body)
    assert response.status_code == 202, response.text
    [(_, payload)] = operations.started
    assert BuildAndDeployInput.model_validate(payload).approval == ApprovalPolicy(min_approvals=1, four_eyes=True)


async def _count(rows) -> int:
    async with transaction(rows) as session:
        return len((await session.scalars(select(AuditEntry.id))).all())
