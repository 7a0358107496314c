"""Somebody reaches Temporal's port on the real stack, as a build once did: nothing is decided, nothing is started."""

import asyncio
from datetime import timedelta

import pytest
from temporalio.client import ActivityFailureError, Client, WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError

from contracts.names import CONTROL_QUEUE, WorkflowName
from contracts.operations import ActionRequest, BuildAndDeployInput
from contracts.rollouts import STOP_RELEASE, StopRelease
from runtime.ids import new_id
from tests.support.services import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

MALLORY = ActionRequest(actor="cto", reason="go", humans=("cto",))


@pytest.fixture(scope="module")
def app(platform):
    return platform.app("forged")


@pytest.fixture
def waiting(app, records):
    """A deployment into production that waits for somebody's yes."""
    begun = app.begin(environment="production", request_approval=True)
    deployment_id = begun.accepted.deployment_id
    until(lambda: app.api.deployment(deployment_id)["status"] == "awaiting_approval", "a wait", 180)
    yield begun
    app.api.call("POST", f"/deployments/{deployment_id}/reject", {"reason": "the test is over"})
    until(lambda: records.operation(begun.accepted.operation_id)["completed_at"] is not None, "its end", 180)


async def stranger(platform) -> Client:
    return await Client.connect(platform.stack.addresses["temporal"], data_converter=pydantic_data_converter)


async def start(platform, order: BuildAndDeployInput, workflow_id: str) -> ApplicationError:
    """What comes of a start by a stranger."""
    client = await stranger(platform)
    handle = await client.start_workflow(WorkflowName.BUILD_AND_DEPLOY, order, id=workflow_id, task_queue=CONTROL_QUEUE)
    with pytest.raises(WorkflowFailureError) as fault:
        await handle.result()
    assert isinstance(fault.value.cause, ApplicationError)
    return fault.value.cause


def order_of(records, operation_id: str) -> BuildAndDeployInput:
    """The input as it stands in Temporal's history, and in the record."""
    return BuildAndDeployInput.model_validate(records.operation(operation_id)["input"])


def forged(records, workflow_id: str) -> list[tuple[str, str]]:
    rows = records.all(
        "SELECT details->>'asked' AS asked, details->>'claimed_actor' AS actor FROM audit_log "
        "WHERE action = 'operation.forged' AND details->>'workflow_id' = %s ORDER BY id",
        workflow_id,
    )
    return [(row["asked"], row["actor"]) for row in rows]


def test_an_approval_with_an_invented_actor_is_refused_and_audited(platform, app, waiting, records):
    workflow_id = records.workflow_of(waiting.accepted.operation_id)

    async def attack() -> ApplicationError:
        handle = (await stranger(platform)).get_workflow_handle(workflow_id)
        with pytest.raises(WorkflowUpdateFailedError) as fault:
            await handle.execute_update("approve", MALLORY)
        assert isinstance(fault.value.cause, ApplicationError)
        return fault.value.cause

    assert asyncio.run(attack()).type == "AUTHORIZATION_DENIED"
    until(lambda: forged(records, workflow_id) == [("approve", "cto")], "an entry in the audit log", 180)
    log = app.api.call("GET", f"/organizations/{platform.organization['id']}/audit-log?action=operation.forged")
    assert waiting.accepted.operation_id in {entry["resource_id"] for entry in log}
    assert app.api.deployment(waiting.accepted.deployment_id)["status"] == "awaiting_approval"


@pytest.mark.deep
def test_a_start_with_its_approval_in_its_input_does_nothing(platform, app, waiting, records):
    """For an operation of an invented id, under a strange workflow id, and what waits a second time."""
    kept = order_of(records, waiting.accepted.operation_id)
    assert kept.approval
    assert kept.signature
    approved = kept.model_copy(update={"approval": None, "approved_by": ("cto",)})
    place = kept.place.model_copy(update={"operation_id": new_id(), "named_workflow_id": None})
    invented = approved.model_copy(update={"place": place})
    for order, workflow_id in (
        (invented, str(invented.place.operation_id)),
        (approved, "anything"),
        (kept, "again"),
        (kept, waiting.accepted.operation_id),  # as ids were before they could be read
        (kept, f"acme/shop/dev/9.9.9/{waiting.accepted.operation_id}"),
    ):
        assert asyncio.run(start(platform, order, workflow_id)).type in ("AUTHORIZATION_DENIED", "ORCHESTRATION_LOST")
        until(lambda name=workflow_id: len(forged(records, name)) == 1, "an entry in the audit log", 180)
    assert app.api.deployment(waiting.accepted.deployment_id)["status"] == "awaiting_approval"
    assert not records.all("SELECT id FROM operations WHERE id = %s", str(invented.place.operation_id))


@pytest.mark.deep
def test_an_operation_that_is_over_is_not_carried_out_again(platform, app, records):
    """Its signed input stands in its history: whoever copied it would bring an old version back."""
    old, new = app.ship_good(), app.ship_good()
    operation_id = old.operation["operation_id"]
    again = start(platform, order_of(records, operation_id), records.workflow_of(operation_id))
    assert asyncio.run(again).type == "ORCHESTRATION_LOST"
    assert app.service.version() == new.version
    assert records.operation(operation_id)["status"] == "completed"


def test_an_activity_that_a_stranger_calls_stops_nothing(platform, app):
    """Temporal runs activities without a workflow, too, for whoever asks."""
    live = app.ship_good()
    release_id = live.deployment["id"]  # a release has its deployment's id

    async def attack() -> None:
        client = await stranger(platform)
        with pytest.raises(ActivityFailureError):
            await client.execute_activity(
                STOP_RELEASE.name,
                StopRelease(release_id=release_id),
                id=str(new_id()),
                task_queue=CONTROL_QUEUE,
                schedule_to_close_timeout=timedelta(seconds=120),
            )

    asyncio.run(attack())
    assert app.service.version() == live.version
