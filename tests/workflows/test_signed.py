"""Whoever reaches Temporal, and is not the API, decides nothing and starts nothing.

A sandboxed build had posted to Temporal's port and sent `approve` with an invented actor, past four eyes.
"""

from datetime import timedelta
from uuid import uuid4

import pytest
from temporalio.api.workflowservice.v1 import RespondActivityTaskCompletedByIdRequest
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from activities.refusals import Refusals
from activities.signatures import VALID_FOR, DecisionGuard, Signatures
from contracts.names import WorkflowName
from contracts.operations import AbortRequest, ActionRequest
from contracts.signatures import Signature, statement
from domain.approvals import Action, ApprovalPolicy
from domain.lifecycle import DeploymentStatus, OperationKind, OperationStatus
from orchestration.signing import Signer
from runtime.decision_keys import SigningKey, VerifyingKeys
from runtime.ids import new_id, now
from tests.support.signing import KEY, REFUSALS, SIGNER
from tests.support.waiting import until
from tests.workflows.conftest import Bench
from tests.workflows.test_manual_controls import awaiting_approval, status
from tests.workflows.world import deploy, order, place, rollback
from workflows.registry import WORKFLOWS, sandbox

MALLORY = ActionRequest(actor="cto", reason="go", humans=("cto",))
BEN = ActionRequest(actor="ben", reason="looks good")


@pytest.fixture
async def stranger(bench: Bench) -> Client:
    """Temporal's own client, as anybody has it who reaches the port."""
    address = bench.client.service_client.config.target_host
    return await Client.connect(address, data_converter=pydantic_data_converter)


async def refused(handle: WorkflowHandle, action: str, request: object) -> ApplicationError:
    with pytest.raises(WorkflowUpdateFailedError) as fault:
        await handle.execute_update(action, request)
    assert isinstance(fault.value.cause, ApplicationError)
    return fault.value.cause


def at(handle: WorkflowHandle, client: Client) -> WorkflowHandle:
    """The same workflow, by another client."""
    return client.get_workflow_handle(handle.id)


def forged(handle: WorkflowHandle, action: Action, signer: Signer = SIGNER, **changes: object) -> ActionRequest:
    """BEN's decision as the API signed it, and changed afterwards."""
    return signer.decision(handle.id, action, BEN).model_copy(update=changes)


async def test_an_invented_approval_is_refused_and_reported(bench: Bench, stranger: Client) -> None:
    handle = await awaiting_approval(bench, ApprovalPolicy())
    REFUSALS.take()
    fault = await refused(at(handle, stranger), Action.APPROVE, MALLORY)
    assert fault.type == "AUTHORIZATION_DENIED"
    assert "does not carry the API's signature" in fault.message
    assert status(bench) is DeploymentStatus.AWAITING_APPROVAL
    assert "ask turn" not in bench.world.done
    [(told, times)] = REFUSALS.take().items()
    assert (told.workflow_id, told.asked, told.actor, times) == (handle.id, "approve", "cto", 1)
    await handle.execute_update(Action.APPROVE, BEN)
    await handle.result()


@pytest.mark.parametrize(
    ("action", "request_"),
    [
        *((action, MALLORY) for action in ("approve", "pause", "resume", "promote")),
        *((action, AbortRequest(actor="cto", reason="no")) for action in ("abort", "reject")),
        ("approve", {"actor": "cto", "signature": None}),
        ("approve", {"actor": "cto", "signature": {"key_id": "", "signed_at": "2026-01-01T00:00:00Z"}}),
        ("approve", {"actor": "cto", "signature": "x"}),
        ("approve", None),
    ],
)
async def test_whatever_is_not_signed_is_refused(bench: Bench, stranger: Client, action: str, request_: object) -> None:
    handle = await awaiting_approval(bench, ApprovalPolicy())
    await refused(at(handle, stranger), action, request_)
    assert status(bench) is DeploymentStatus.AWAITING_APPROVAL
    await handle.execute_update(Action.ABORT, AbortRequest(actor="ann", reason="over"))


async def test_a_signature_is_of_this_operation_action_and_person_alone(bench: Bench, stranger: Client) -> None:
    handle = await awaiting_approval(bench, ApprovalPolicy(min_approvals=2))
    other = at(handle, stranger)
    elsewhere = SIGNER.decision(str(uuid4()), Action.APPROVE, BEN)
    changed = [
        forged(handle, Action.APPROVE, actor="cid"),
        forged(handle, Action.APPROVE, humans=("cid",)),
        forged(handle, Action.APPROVE, reason="other words"),
        forged(handle, Action.APPROVE, rule=ApprovalPolicy(min_approvals=1, four_eyes=False)),
        forged(handle, Action.PAUSE),
        elsewhere,
    ]
    for request in changed:
        assert "its signature is of something else" in (await refused(other, Action.APPROVE, request)).message
    signed = forged(handle, Action.APPROVE)
    assert signed.signature
    for update in ({"nonce": new_id()}, {"signed_at": now()}, {"value": "AAAA"}, {"value": "é?"}):
        request = signed.model_copy(update={"signature": signed.signature.model_copy(update=update)})
        assert "its signature is of something else" in (await refused(other, Action.APPROVE, request)).message
    strange = forged(handle, Action.APPROVE, Signer(SigningKey(b"x" * 32)))
    assert (await refused(other, Action.APPROVE, strange)).type == "SERVICE_UNAVAILABLE"  # asked again, never believed
    await other.execute_update(Action.APPROVE, signed)  # whoever carries it: it is what Ben decided
    assert "1 of 2" in (bench.world.progress.current_step or "")
    await handle.execute_update(Action.ABORT, AbortRequest(actor="ann", reason="over"))


async def test_a_decision_that_was_seen_counts_no_second_time(bench: Bench, stranger: Client) -> None:
    """Encrypted or not, what stands in a history can be sent again by who sees it."""
    bench.world.old_release()
    may = bench.world.hold("instances.await_healthy")
    handle = await bench.start(order())
    await bench.world.reached["instances.await_healthy"].wait()
    pause = SIGNER.decision(handle.id, Action.PAUSE, BEN)
    await handle.execute_update(Action.PAUSE, pause)
    await handle.execute_update(Action.RESUME, BEN)
    fault = await refused(at(handle, stranger), Action.PAUSE, pause)
    assert (fault.type, fault.message) == ("INVALID_STATE", "this decision was carried out already")
    may.set()
    await handle.result()


async def test_what_was_decided_long_ago_is_not_carried_out(bench: Bench) -> None:
    handle = await awaiting_approval(bench, ApprovalPolicy())
    bare = Signature(key_id=SigningKey(KEY).id, signed_at=now() - VALID_FOR - timedelta(minutes=1), nonce=new_id())
    value = SigningKey(KEY).sign(statement(handle.id, Action.APPROVE, BEN.actor, BEN, bare))
    old = BEN.model_copy(update={"signature": bare.model_copy(update={"value": value})})
    assert "decide again" in (await refused(handle, Action.APPROVE, old)).message
    await handle.execute_update(Action.ABORT, AbortRequest(actor="ann", reason="over"))


@pytest.mark.parametrize("what", ["build_and_deploy", "deploy", "rollback"])
async def test_a_start_that_the_api_did_not_accept_does_nothing(bench: Bench, stranger: Client, what: str) -> None:
    orders = {
        "build_and_deploy": (WorkflowName.BUILD_AND_DEPLOY, order().model_copy(update={"approved_by": ("cto",)})),
        "deploy": (WorkflowName.DEPLOY, deploy(skip_analysis=True).model_copy(update={"approved_by": ("cto",)})),
        "rollback": (WorkflowName.ROLLBACK, rollback(place())),
    }
    name, wanted = orders[what]
    REFUSALS.take()
    handle = await stranger.start_workflow(name, wanted, id=str(wanted.place.operation_id), task_queue=bench.queue)
    with pytest.raises(WorkflowFailureError) as fault:
        await handle.result()
    assert isinstance(fault.value.cause, ApplicationError)
    assert fault.value.cause.type == "AUTHORIZATION_DENIED"
    assert (bench.world.done, bench.world.records) == ([], [])
    [told] = REFUSALS.take()
    assert (told.workflow_id, told.asked) == (handle.id, f"start {what}")


async def test_a_signed_start_is_none_of_another_operation_kind_or_consent(bench: Bench, stranger: Client) -> None:
    wanted = deploy()
    signed = SIGNER.order(OperationKind.DEPLOY, wanted.model_copy(update={"approval": ApprovalPolicy()}))
    kind = SIGNER.order(OperationKind.ROLLBACK, wanted)  # signed, as something else
    moved = signed.model_copy(update={"place": place()})
    for what, workflow_id in (
        (signed.model_copy(update={"approval": None}), str(wanted.place.operation_id)),
        (signed.model_copy(update={"approved_by": ("cto",)}), str(wanted.place.operation_id)),
        (kind, str(wanted.place.operation_id)),
        (signed, str(uuid4())),
        (signed, "anything"),
        (moved, str(moved.place.operation_id)),
    ):
        handle = await stranger.start_workflow(WorkflowName.DEPLOY, what, id=workflow_id, task_queue=bench.queue)
        with pytest.raises(WorkflowFailureError) as fault:
            await handle.result()
        assert isinstance(fault.value.cause, ApplicationError)
        assert fault.value.cause.type == "AUTHORIZATION_DENIED"
    assert (bench.world.done, bench.world.records) == ([], [])


async def test_an_activity_that_a_stranger_calls_done_is_not_believed(bench: Bench, stranger: Client) -> None:
    """Without a result there is nothing to decrypt, and most activities answer nothing of interest."""
    bench.world.hold("instances.start")
    handle = await bench.start(order())
    await bench.world.reached["instances.start"].wait()
    pending = (await handle.describe()).raw_description.pending_activities
    [activity_id] = [one.activity_id for one in pending if one.activity_type.name == "instances.start"]
    await stranger.workflow_service.respond_activity_task_completed_by_id(
        RespondActivityTaskCompletedByIdRequest(
            namespace=stranger.namespace, workflow_id=handle.id, activity_id=activity_id
        )
    )
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    assert not [done for done in bench.world.done if done.startswith(("healthy", "route"))]
    assert bench.world.done[-2:] == ["stop new", "return turn"]
    assert bench.world.progress.error
    assert "said to be done without a result" in bench.world.progress.error.message


async def test_after_a_rotation_old_decisions_and_running_operations_go_on(bench: Bench) -> None:
    """Both keys verify; the history of what began under the old one replays where only the new one is left."""
    new = b"n" * 32
    queue = f"rotated-{uuid4()}"
    wanted = order().model_copy(update={"approval": ApprovalPolicy(min_approvals=2)})

    def worker(*keys: bytes) -> Worker:
        client = Client(bench.client.service_client, data_converter=pydantic_data_converter)
        return Worker(
            client,
            task_queue=queue,
            workflows=WORKFLOWS,
            activities=bench.world.activities(),
            workflow_runner=sandbox(),
            interceptors=[DecisionGuard(Signatures(VerifyingKeys(keys), Refusals()))],
        )

    async with worker(new, KEY):
        handle = await bench.client.start_workflow(
            WorkflowName.BUILD_AND_DEPLOY, wanted, id=str(wanted.place.operation_id), task_queue=queue
        )
        await until(lambda: status(bench) is DeploymentStatus.AWAITING_APPROVAL)
        await handle.execute_update(Action.APPROVE, SIGNER.decision(handle.id, Action.APPROVE, BEN))
    async with worker(new):
        by_new = Signer(SigningKey(new)).decision(handle.id, Action.APPROVE, ActionRequest(actor="cid"))
        assert (await refused(handle, Action.APPROVE, BEN)).type == "SERVICE_UNAVAILABLE"  # signed with the old key
        await handle.execute_update(Action.APPROVE, by_new)
        bench.world.turn_is_free = True
        await handle.result()
    assert bench.world.progress.status is OperationStatus.COMPLETED


async def test_a_worker_that_cannot_check_carries_nothing_out(bench: Bench) -> None:
    queue, wanted = f"blind-{uuid4()}", order().model_copy(update={"approval": ApprovalPolicy()})
    client = Client(bench.client.service_client, data_converter=pydantic_data_converter)
    blind = Worker(
        client,
        task_queue=queue,
        workflows=WORKFLOWS,
        activities=bench.world.activities(),
        workflow_runner=sandbox(),
    )
    async with blind:
        handle = await bench.client.start_workflow(
            WorkflowName.BUILD_AND_DEPLOY, wanted, id=str(wanted.place.operation_id), task_queue=queue
        )
        await until(lambda: status(bench) is DeploymentStatus.AWAITING_APPROVAL)
        assert "cannot check signatures" in (await refused(handle, Action.APPROVE, BEN)).message
