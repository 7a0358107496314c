"""Decisions about deployments under way: who may, what is refused, what the audit log says."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.exc import DBAPIError

from contracts.operations import BuildAndDeployInput
from domain.approvals import Action, ApprovalPolicy
from domain.errors import ConflictError, DependencyError, ErrorCode, ForbiddenError
from reconcilers.decision_relay import DecisionRelay
from runtime.ids import new_id, now
from storage.engine import transaction
from storage.models import AuditEntry, Operation, OutboxEntry
from tests.support.facts import facts
from tests.support.reconciling import answered

ACTIONS = [action for action in Action if action not in (Action.ABORT, Action.RETRY)]


def path(made, action) -> str:
    return f"/deployments/{made['deployment_id']}/{action}"


@pytest.fixture(scope="module")
async def running(world, build_of, rows):
    made = await build_of(world, "7.0.0", live=False)
    async with transaction(rows) as session:
        await session.execute(
            update(Operation).where(Operation.id == UUID(made["operation_id"])).values(workflow_started_at=now())
        )
    return made


@pytest.mark.parametrize("action", ACTIONS)
async def test_a_decision_is_sent_and_audited(world, running, operations, rows, action):
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


async def test_abort_is_sent_as_an_abort(world, running, operations):
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


async def test_what_the_workflow_refuses_is_a_400_with_what_is_allowed_and_the_audit_log_says_so(
    world, running, operations, rows
):
    details = {"state": "in_progress", "action": "resume", "allowed": ["abort", "pause", "promote"]}
    operations.fault = ConflictError("cannot resume", code=ErrorCode.INVALID_STATE, details=details)
    headers = {"Idempotency-Key": "refused"}
    response = await world.manager.post(path(running, "resume"), {"reason": "no"}, headers=headers)
    assert response.status_code == 400
    assert response.json()["error"].items() >= {"code": "INVALID_STATE", "message": "cannot resume"}.items()
    assert facts(response.json()["error"]) == details
    intent, outcome = await _entries(rows, response)
    assert (intent.action, intent.reason) == ("deployment.resume", "no")
    assert (outcome.action, outcome.actor) == ("deployment.decided", world.manager.subject)
    assert outcome.details.items() >= {"decision": "deployment.resume", "outcome": "refused"}.items()
    operations.fault = None
    again = await world.manager.post(path(running, "resume"), {"reason": "no"}, headers=headers)
    assert (again.status_code, again.headers["idempotent-replayed"]) == (400, "true")
    assert operations.decided == []


async def test_four_eyes(world, running, operations):
    operations.fault = ForbiddenError("four eyes")
    assert (await world.manager.post(path(running, "approve"), {})).status_code == 403


DOWN = [action for action in Action if action not in (Action.ABORT, Action.RETRY)]


@pytest.mark.parametrize("action", DOWN)
async def test_503_is_answered_only_where_nothing_was_sent_and_nothing_is_kept(
    *, world, running, operations, rows, action
):
    operations.down = DependencyError("away")
    headers = {"Idempotency-Key": f"down-{action}"}
    response = await world.manager.post(path(running, action), {"reason": "because"}, headers=headers)
    assert response.status_code == 503
    assert response.headers["retry-after"]
    assert operations.decided == []
    assert await _entries(rows, response) == []
    operations.down = None
    again = await world.manager.post(path(running, action), {"reason": "because"}, headers=headers)
    assert (again.status_code, len(operations.decided)) == (200, 1)


@pytest.mark.parametrize("action", [*DOWN, Action.ABORT])
async def test_a_decision_on_a_busy_engine_is_kept_and_the_same_key_asks_again(
    *, world, running, operations, rows, action
):
    """It answered 503 after 4 s and was dropped, or carried out all the same: nobody knew."""
    operations.fault = DependencyError("the workflow engine did not answer in time")
    headers = {"Idempotency-Key": f"busy-{action}"}
    body = {"reason": f"because {action}"}
    response = await world.manager.post(path(running, action), body, headers=headers)
    assert response.status_code == 202, response.text
    assert response.json()["data"]["operation_id"] == running["operation_id"]
    [intent] = await _entries(rows, response)
    assert (intent.action, intent.actor, intent.reason) == (
        f"deployment.{action}",
        world.manager.subject,
        body["reason"],
    )
    again = await world.manager.post(path(running, action), body, headers=headers)
    assert (again.status_code, again.headers["idempotent-replayed"]) == (202, "true")
    operations.fault = None
    told = await world.manager.post(path(running, action), body, headers=headers)
    assert (told.status_code, told.json()["data"]["id"]) == (200, running["deployment_id"]), told.text
    assert told.headers["idempotent-replayed"] == "true"
    assert len([*operations.decided, *operations.stopped]) == 1
    third = await world.manager.post(path(running, action), body, headers=headers)
    assert third.status_code == 200
    assert len([*operations.decided, *operations.stopped]) == 1
    _, outcome = await _entries(rows, response)
    assert outcome.details.items() >= {"intent_id": str(intent.id), "outcome": "accepted"}.items()


async def test_what_nobody_answered_is_sent_by_the_relay_once(world, running, operations, rows):
    operations.fault = DependencyError("the workflow engine did not answer in time")
    response = await world.manager.post(path(running, "pause"), {"reason": "unheard"})
    assert response.status_code == 202
    relay = DecisionRelay(rows, operations)
    assert await answered(relay) == 0  # whoever asked is still trying
    await _make_due(rows)
    await answered(relay)
    assert operations.decided == []
    operations.fault = None
    await _make_due(rows)
    await asyncio.gather(*(answered(DecisionRelay(rows, operations)) for _ in range(3)))
    await _make_due(rows)
    assert await answered(relay) == 0
    [(_, action, person)] = operations.decided
    assert (action, person.reason) == (Action.PAUSE, "unheard")
    intent, outcome = await _entries(rows, response)
    assert (intent.action, outcome.action) == ("deployment.pause", "deployment.decided")


async def test_one_at_a_time_tells_a_decision(world, running, operations, rows):
    """Told twice at once, a refusal of the one could be kept after the other was accepted."""
    headers, began, go = {"Idempotency-Key": "one-teller"}, asyncio.Event(), asyncio.Event()
    decide = operations.decide

    async def slow(*args, **named) -> None:
        began.set()
        await go.wait()
        await decide(*args, **named)

    async def ask():
        return await world.manager.post(path(running, "pause"), {"reason": "slow"}, headers=headers)

    operations.decide = slow
    try:
        first = asyncio.create_task(ask())
        await asyncio.wait_for(began.wait(), 120)
        assert (await ask()).status_code == 202  # and does not tell it too
        go.set()
        assert (await first).status_code == 200
    finally:
        operations.decide = decide
    assert (await ask()).status_code == 200
    assert len(operations.decided) == 1


async def test_what_nobody_can_know_is_not_audited_as_refused(world, running, operations, rows):
    operations.fault = ConflictError("gone", code=ErrorCode.INVALID_STATE, details={"state": "unknown"})
    response = await world.manager.post(path(running, "resume"), {"reason": "lost"})
    assert response.status_code == 400
    _, outcome = await _entries(rows, response)
    assert outcome.details["outcome"] == "unknown"


async def test_an_abort_is_kept_while_the_engine_is_down(*, world, build_of, operations, rows):
    running = await build_of(world, "7.8.0", live=False)
    operations.started.clear()
    operations.fault = operations.down = DependencyError("away")
    response = await world.developer.post(path(running, "abort"), {"reason": "down"})
    assert response.status_code == 202
    operations.fault = operations.down = None
    await _make_due(rows)
    await answered(DecisionRelay(rows, operations))
    [(operation_id, request)] = operations.stopped
    assert (str(operation_id), request.reason) == (running["operation_id"], "down")
    assert operations.started  # what nobody has started cannot be told anything


async def test_a_cancel_that_is_refused_as_the_second_does_not_undo_the_first_ones_mark(
    *, world, build_of, operations, rows
):
    """Two at the same moment: the workflow takes one, and the other one's refusal took the mark away."""
    made = await build_of(world, f"7.1.{new_id().int % 10**6}", live=False)
    operation_id = UUID(made["operation_id"])
    async with transaction(rows) as session:
        started = update(Operation).where(Operation.id == operation_id)
        await session.execute(started.values(workflow_started_at=now()))
    cancel = f"/operations/{operation_id}/cancel"
    assert (await world.manager.post(cancel)).status_code == 202
    unmarked = update(Operation).where(Operation.id == operation_id).values(cancel_requested_at=None)
    async with transaction(rows) as session:  # as the second one reads it that came at the same moment
        await session.execute(unmarked)
    operations.fault = ConflictError("it is being stopped already", code=ErrorCode.INVALID_STATE, details={})
    assert (await world.manager.post(cancel)).status_code == 400
    async with transaction(rows) as session:
        assert (await session.get_one(Operation, operation_id)).cancel_requested_at is not None


async def test_a_decision_that_cannot_be_sent_holds_up_no_other(world, running, build_of, operations, rows):
    other = await build_of(world, "7.9.0", live=False)
    operations.started.clear()
    operations.fault = DependencyError("busy")
    for made in (running, other):
        assert (await world.developer.post(path(made, "abort"), {"reason": "both"})).status_code == 202
    operations.fault = None
    abort = operations.abort

    async def stuck(workflow_id, request) -> None:
        if workflow_id.endswith(running["operation_id"]):
            raise DependencyError("no worker")
        await abort(workflow_id, request)

    operations.abort = stuck
    try:
        await _make_due(rows)
        await answered(DecisionRelay(rows, operations))
    finally:
        operations.abort = abort
    assert [str(operation_id) for operation_id, _ in operations.stopped] == [other["operation_id"]]
    await _make_due(rows)
    await answered(DecisionRelay(rows, operations))


@pytest.mark.parametrize("field", ["approval_notes", "reason"])
@pytest.mark.parametrize("action", ["approve", "reject"])
async def test_approve_and_reject_take_approval_notes(world, running, operations, field, action):
    response = await world.manager.post(path(running, action), {field: "seen"})
    assert response.status_code == 200, response.text
    [(_, _, person)] = operations.decided
    assert person.reason == "seen"
    both = {"approval_notes": "seen", "reason": "not seen"}
    assert (await world.manager.post(path(running, action), both)).status_code == 400


async def test_a_rejection_says_why(world, running, operations):
    for body in ({}, {"reason": " "}, {"approval_notes": ""}):
        assert (await world.manager.post(path(running, "reject"), body)).status_code == 400
    assert operations.decided == []


@pytest.mark.parametrize("action", list(Action))
async def test_a_finished_deployment_takes_no_decisions(world, build_of, operations, action):
    made = await build_of(world, f"8.0.{list(Action).index(action)}")
    response = await world.manager.post(path(made, action), {"reason": "late"})
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["code"] == "INVALID_STATE"
    assert facts(error) == {"state": "success", "action": action, "allowed": []}
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


async def _entries(rows, response) -> list[AuditEntry]:
    """What the audit log says of one request, in its order."""
    request_id = response.headers["x-request-id"]
    found = select(AuditEntry).where(AuditEntry.request_id == request_id).order_by(AuditEntry.id)
    async with transaction(rows) as session:
        return list((await session.scalars(found)).all())


async def _make_due(rows, after: timedelta = timedelta(0)) -> None:
    async with transaction(rows) as session:
        statement = update(OutboxEntry).where(OutboxEntry.kind == "decision", OutboxEntry.done_at.is_(None))
        await session.execute(statement.values(due_at=now() + after))


async def test_a_decision_put_off_before_the_clock_was_set_back_is_sent_now(world, running, operations, rows):
    """It waited until the clock came there again."""
    operations.fault = DependencyError("the workflow engine did not answer in time")
    assert (await world.manager.post(path(running, "pause"), {"reason": "late"})).status_code == 202
    operations.fault = None
    await _make_due(rows, timedelta(hours=1))
    assert await answered(DecisionRelay(rows, operations)) == 1
    [(_, action, person)] = operations.decided
    assert (action, person.reason) == (Action.PAUSE, "late")
