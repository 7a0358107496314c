"""Taking deployments back: while they run, when they are live, and when there is nothing to take back."""

import asyncio
from uuid import UUID

import pytest
from sqlalchemy import func, select

from contracts.operations import RollbackInput
from domain.errors import ConflictError, DependencyError, ErrorCode
from domain.lifecycle import OperationKind
from runtime.ids import now
from storage.engine import transaction
from storage.models import AuditEntry, Deployment, Operation
from tests.api.conftest import make_world

REASON = {"reason": "High error rate detected post-deployment"}


@pytest.fixture
async def fresh(platform, caller, request):
    return await make_world(platform, caller, request.node.name.replace("_", "-"))


@pytest.fixture
def finish(rows):
    """Writes what the worker writes when a deployment was taken back."""

    async def finish(deployment_id: UUID, build_id: UUID) -> None:
        async with transaction(rows) as session:
            deployment = await session.get_one(Deployment, deployment_id)
            deployment.status, deployment.rolled_back_at = "rolled_back", now()
            deployment.rolled_back_to_build_id = build_id

    return finish


@pytest.fixture
def audit_of(rows):
    """Reads what the audit log says of the rollbacks of a deployment."""

    async def read(made) -> list[AuditEntry]:
        wanted = select(AuditEntry).where(
            AuditEntry.resource_id == UUID(made["deployment_id"]), AuditEntry.action == "deployment.rollback"
        )
        async with transaction(rows) as session:
            return list((await session.scalars(wanted)).all())

    return read


def path(made) -> str:
    return f"/deployments/{made['deployment_id']}/rollback"


async def test_a_live_deployment_goes_back_as_in_the_contract(
    *, fresh, operations, finish, build_of, monkeypatch, audit_of
):
    old, new = await build_of(fresh, "1.0.0"), await build_of(fresh, "1.1.0")

    async def react(kind, payload) -> None:
        operations.started.append((kind, payload))
        await finish(UUID(new["deployment_id"]), UUID(old["build_id"]))

    monkeypatch.setattr(operations, "start", react)
    operations.started.clear()
    response = await fresh.developer.post(path(new), REASON, headers={"Idempotency-Key": "back"})
    assert response.status_code == 200, response.text
    data = response.json()["data"]
    expected = {"id": new["deployment_id"], "status": "rolled_back", "rollback_reason": REASON["reason"]}
    assert data.items() >= {**expected, "rolled_back_to_build_id": old["build_id"]}.items()
    assert data["rolled_back_at"].endswith("Z")
    [(kind, payload)] = operations.started
    assert kind is OperationKind.ROLLBACK
    assert RollbackInput.model_validate(payload).reason == REASON["reason"]
    replayed = await fresh.developer.post(path(new), REASON, headers={"Idempotency-Key": "back"})
    assert (replayed.status_code, replayed.json()["data"]["status"]) == (200, "rolled_back")
    [entry] = await audit_of(new)
    assert (entry.actor, entry.reason) == (fresh.developer.subject, REASON["reason"])
    assert entry.details["state"] == "success"
    again = await fresh.developer.post(path(new), REASON)
    assert (again.status_code, again.json()["error"]["code"]) == (400, "INVALID_STATE")
    assert "rolled_back" in again.json()["error"]["message"]


async def test_many_at_once_make_one_rollback(fresh, operations, build_of, rows, monkeypatch):
    monkeypatch.setattr("api.rollbacks.ANSWER_WITHIN_S", 0.1)
    await build_of(fresh, "1.0.0")
    new = await build_of(fresh, "1.1.0")
    answers = await asyncio.gather(*(fresh.developer.post(path(new), REASON) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.headers["operation-location"] for answer in answers}) == 1
    async with transaction(rows) as session:
        statement = select(func.count()).where(
            Operation.kind == "rollback", Operation.resource_id == UUID(new["deployment_id"])
        )
        assert await session.scalar(statement) == 1
    deployment = (await fresh.developer.get(f"/deployments/{new['deployment_id']}")).json()["data"]
    assert (deployment["status"], deployment["rollback_reason"]) == ("rolling_back", REASON["reason"])


async def test_temporal_being_away_answers_202_at_once(fresh, operations, build_of):
    await build_of(fresh, "1.0.0")
    new = await build_of(fresh, "1.1.0")
    operations.fault = DependencyError("away")
    response = await asyncio.wait_for(fresh.developer.post(path(new), REASON), 5)
    assert response.status_code == 202
    operation = await fresh.developer.get(response.json()["data"]["progress_url"])
    assert operation.json()["data"]["kind"] == "rollback"


async def test_a_database_that_goes_away_after_the_commit_leaves_the_promise(fresh, operations, build_of, monkeypatch):
    await build_of(fresh, "1.0.0")
    new = await build_of(fresh, "1.1.0")

    async def away(*_: object) -> None:
        raise DependencyError("the database does not answer")

    monkeypatch.setattr("api.rollbacks.Rollback.outcome", away)
    response = await fresh.developer.post(path(new), REASON)
    assert response.status_code == 202
    assert (await fresh.developer.get(response.json()["data"]["progress_url"])).json()["data"]["kind"] == "rollback"


async def test_nothing_to_roll_back_names_the_state(fresh, operations, build_of):
    only = await build_of(fresh, "1.0.0")
    alone = await fresh.developer.post(path(only), REASON)
    assert (alone.status_code, alone.json()["error"]["code"]) == (400, "INVALID_STATE")
    assert "no older healthy release" in alone.json()["error"]["message"]
    await build_of(fresh, "1.1.0")
    replaced = await fresh.developer.post(path(only), REASON)
    assert "no longer what is live" in replaced.json()["error"]["message"]
    silent = await fresh.developer.post(path(only), {"reason": " "})
    assert silent.json()["error"]["details"][0]["field"] == "reason"


async def test_a_rollout_under_way_is_aborted(*, fresh, operations, build_of, rows, monkeypatch, audit_of):
    running = await build_of(fresh, "1.0.0", live=False)
    operations.fault = ConflictError("being stopped already", code=ErrorCode.INVALID_STATE)
    late = await fresh.developer.post(path(running), REASON)
    assert (late.status_code, late.json()["error"]["message"]) == (400, "being stopped already")
    operations.fault = None
    [refused] = await audit_of(running)

    async def abort(operation_id, request) -> None:
        operations.stopped.append((operation_id, request))
        async with transaction(rows) as session:
            deployment = await session.get_one(Deployment, UUID(running["deployment_id"]))
            deployment.status, deployment.rollback_reason = "rolled_back", request.reason

    monkeypatch.setattr(operations, "abort", abort)
    response = await fresh.developer.post(path(running), REASON)
    assert (response.status_code, response.json()["data"]["status"]) == (200, "rolled_back")
    [(stopped, request)] = operations.stopped
    assert (str(stopped), request.actor) == (running["operation_id"], fresh.developer.subject)
    [entry] = [one for one in await audit_of(running) if one.id != refused.id]
    assert (entry.actor, entry.reason) == (fresh.developer.subject, REASON["reason"])
