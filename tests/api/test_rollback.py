"""Taking deployments back: while they run, when they are live, and when there is nothing to take back."""

import asyncio
from uuid import UUID

import pytest
from sqlalchemy import func, select, update

from contracts.names import operation_of
from contracts.operations import RollbackInput
from domain.errors import ConflictError, DependencyError, ErrorCode
from domain.lifecycle import OperationKind
from reconcilers.decision_relay import DecisionRelay
from runtime.ids import now
from storage.engine import transaction
from storage.models import AuditEntry, Build, Deployment, Operation, OutboxEntry
from tests.api.conftest import make_live, make_world
from tests.support.reconciling import answered

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
    monkeypatch.setattr("api.services.deployments.rollback.ANSWER_WITHIN_S", 0.1)
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


async def test_temporal_being_away_answers_202_at_once(fresh, operations, build_of, monkeypatch):
    monkeypatch.setattr("api.services.deployments.rollback.ANSWER_WITHIN_S", 3600.0)
    await build_of(fresh, "1.0.0")
    new = await build_of(fresh, "1.1.0")
    operations.fault = DependencyError("away")
    response = await asyncio.wait_for(fresh.developer.post(path(new), REASON), 120)
    assert response.status_code == 202
    operation = await fresh.developer.get(response.json()["data"]["progress_url"])
    assert operation.json()["data"]["kind"] == "rollback"


async def test_a_database_that_goes_away_after_the_commit_leaves_the_promise(fresh, operations, build_of, monkeypatch):
    await build_of(fresh, "1.0.0")
    new = await build_of(fresh, "1.1.0")

    async def away(*_: object) -> None:
        raise DependencyError("the database does not answer")

    monkeypatch.setattr("api.services.deployments.rollback.Rollback.outcome", away)
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


LATE = ConflictError("it is past its final switch; roll the deployment back instead", code=ErrorCode.INVALID_STATE)


@pytest.fixture
def outcome_of(rows, operations):
    """The relay goes on with what waits; what came of the one rollback that was asked for of a deployment."""

    async def outcome_of(made) -> dict | None:
        async with transaction(rows) as session:
            mine = (OutboxEntry.kind == "decision", OutboxEntry.resource_id == UUID(made["operation_id"]))
            await session.execute(update(OutboxEntry).where(*mine, OutboxEntry.done_at.is_(None)).values(due_at=now()))
        await answered(DecisionRelay(rows, operations))
        async with transaction(rows) as session:
            return (await session.scalars(select(OutboxEntry.outcome).where(*mine))).one()

    return outcome_of


@pytest.fixture
async def promised(fresh, operations, build_of):
    """Two versions: one is live, the other rolls out; its rollback was promised while the workflow engine was away."""
    await build_of(fresh, "1.0.0")
    running = await build_of(fresh, "1.1.0", live=False)
    operations.fault = DependencyError("away")
    response = await fresh.developer.post(path(running), REASON, headers={"Idempotency-Key": "promised"})
    assert response.status_code == 202
    operations.fault = LATE
    return running


async def goes_live(rows, made) -> None:
    async with transaction(rows) as session:
        deployment = await session.get_one(Deployment, UUID(made["deployment_id"]))
        operation = await session.get_one(Operation, UUID(made["operation_id"]))
        await make_live(session, operation, deployment, await session.get_one(Build, UUID(made["build_id"])))


async def rollbacks(rows, made) -> list[Operation]:
    found = select(Operation).where(Operation.kind == "rollback", Operation.resource_id == UUID(made["deployment_id"]))
    async with transaction(rows) as session:
        return list((await session.scalars(found)).all())


async def test_a_promised_rollback_of_a_rollout_past_its_final_switch_takes_it_back_when_it_is_live(
    *, fresh, operations, promised, rows, outcome_of, finish, audit_of
):
    """It was recorded as refused, and the bad version stayed live."""
    assert await outcome_of(promised) is None  # not over yet: it waits
    assert await rollbacks(rows, promised) == []
    await goes_live(rows, promised)
    outcome = await outcome_of(promised)
    [operation] = await rollbacks(rows, promised)
    assert outcome == {"accepted": True, "operation_id": str(operation.id)}
    order = RollbackInput.model_validate(operation.input)
    assert (order.place.operation_id, order.reason) == (operation.id, REASON["reason"])
    assert (order.place.requested_by, operation.requested_by) == (fresh.developer.subject,) * 2
    async with transaction(rows) as session:
        starts = select(OutboxEntry.payload).where(
            OutboxEntry.kind == "workflow_start", OutboxEntry.resource_id == operation.id
        )
        assert (await session.scalars(starts)).one() == operation.input
        decided = select(AuditEntry).where(
            AuditEntry.resource_id == UUID(promised["deployment_id"]), AuditEntry.action == "deployment.decided"
        )
        entry = (await session.scalars(decided)).one()
    assert (entry.details["outcome"], entry.details["operation_id"]) == ("accepted", str(operation.id))
    assert len(await audit_of(promised)) == 1
    assert await outcome_of(promised) == outcome  # once
    assert len(await rollbacks(rows, promised)) == 1
    again = {"Idempotency-Key": "promised"}
    waiting = await fresh.developer.post(path(promised), REASON, headers=again)
    assert (waiting.status_code, waiting.json()["data"]["operation_id"]) == (202, str(operation.id))
    await finish(UUID(promised["deployment_id"]), UUID(promised["build_id"]))
    done = await fresh.developer.post(path(promised), REASON, headers=again)
    assert (done.status_code, done.json()["data"]["status"]) == (200, "rolled_back")


async def test_an_accepted_rollback_of_what_went_back_by_itself_is_done(promised, end, rows, outcome_of):
    await end(promised["deployment_id"], "rolled_back")
    assert await outcome_of(promised) == {"accepted": True}
    assert await rollbacks(rows, promised) == []


async def test_two_accepted_rollbacks_are_one(*, fresh, operations, promised, rows, outcome_of):
    second = await fresh.manager.post(path(promised), REASON)
    assert second.status_code == 202  # also with the engine there: past the final switch it waits for the end
    await goes_live(rows, promised)
    async with transaction(rows) as session:
        await session.execute(update(OutboxEntry).where(OutboxEntry.kind == "decision").values(due_at=now()))
    await asyncio.gather(*(answered(DecisionRelay(rows, operations)) for _ in range(2)))
    [operation] = await rollbacks(rows, promised)
    async with transaction(rows) as session:
        found = select(OutboxEntry.outcome).where(OutboxEntry.resource_id == UUID(promised["operation_id"]))
        outcomes = (await session.scalars(found.where(OutboxEntry.kind == "decision"))).all()
    assert outcomes == [{"accepted": True, "operation_id": str(operation.id)}] * 2


async def test_an_accepted_rollback_with_nothing_to_roll_back_says_why(*, fresh, promised, build_of, rows, outcome_of):
    await goes_live(rows, promised)
    await build_of(fresh, "1.2.0")
    outcome = await outcome_of(promised)
    assert (outcome["accepted"], outcome["code"]) == (False, "INVALID_STATE")
    assert "no longer what is live in dev" in outcome["message"]
    again = await fresh.developer.post(path(promised), REASON, headers={"Idempotency-Key": "promised"})
    assert (again.status_code, again.json()["error"]["message"]) == (400, outcome["message"])


async def test_a_rollout_under_way_is_aborted(*, fresh, operations, build_of, rows, monkeypatch, audit_of):
    running = await build_of(fresh, "1.0.0", live=False)

    async def abort(workflow_id, request) -> None:
        operations.stopped.append((operation_of(workflow_id), request))
        async with transaction(rows) as session:
            deployment = await session.get_one(Deployment, UUID(running["deployment_id"]))
            deployment.status, deployment.rollback_reason = "rolled_back", request.reason

    monkeypatch.setattr(operations, "abort", abort)
    response = await fresh.developer.post(path(running), REASON)
    assert (response.status_code, response.json()["data"]["status"]) == (200, "rolled_back")
    [(stopped, request)] = operations.stopped
    assert (str(stopped), request.actor) == (running["operation_id"], fresh.developer.subject)
    [entry] = await audit_of(running)
    assert (entry.actor, entry.reason) == (fresh.developer.subject, REASON["reason"])
