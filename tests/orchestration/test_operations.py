"""Temporal away, slow, empty or strange: always one of our errors, within the limit, never a bare RPC error."""

import asyncio
import base64
from typing import Any
from uuid import uuid4

import pytest
from temporalio import workflow
from temporalio.api.common.v1 import GrpcStatus
from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure
from temporalio.client import WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from contracts.names import SignalName, WorkflowName
from contracts.operations import AbortRequest
from contracts.rollouts import SettingsChanged
from domain.errors import ConflictError, DependencyError, ErrorCode
from domain.lifecycle import OperationKind
from orchestration.connection import Connection, answering_within, is_missing
from orchestration.operations import Operations
from runtime.settings import Settings
from tests.support.signing import KEY
from tests.workflows.world import deploy, order

ACCEPTED = "workflow_execution_update_accepted_event_attributes"
KEYS = base64.b64encode(KEY).decode()
STOP = AbortRequest(actor="ann", reason="no")
HANGS_S = 120
"""Whoever takes longer has no limit of his own."""


def changed() -> dict[str, Any]:
    return SettingsChanged(environment_id=uuid4()).model_dump(mode="json")


@workflow.defn(name="StandIn", sandboxed=False)
class StandIn:
    """Takes decisions as an operation does; ends with the first that it accepts, unless it hangs in it."""

    @workflow.init
    def __init__(self) -> None:
        self.accepted = 0

    @workflow.run
    async def run(self) -> int:
        await workflow.wait_condition(lambda: self.accepted > 0 and workflow.all_handlers_finished())
        return self.accepted

    @workflow.update
    async def abort(self, request: AbortRequest) -> None:
        self.accepted += 1
        await workflow.wait_condition(lambda: request.reason != "hang")

    @abort.validator
    def _may_abort(self, request: AbortRequest) -> None:
        if request.reason == "refused":
            raise ApplicationError("not now", type="INVALID_STATE")


@pytest.fixture
async def decided(temporal_env):
    """An operation's workflow that runs: its handle, and its id."""
    workflow_id, queue = str(uuid4()), f"told-{uuid4()}"
    worker = Worker(
        temporal_env.client, task_queue=queue, workflows=[StandIn], workflow_runner=UnsandboxedWorkflowRunner()
    )
    async with worker:
        handle = await temporal_env.client.start_workflow("StandIn", id=workflow_id, task_queue=queue)
        yield handle, workflow_id


@pytest.fixture
def real(temporal_env, monkeypatch) -> Operations:
    """With the patience of a busy machine, except where nobody answers."""
    for name in ("START_LIMIT_S", "UPDATE_LIMIT_S", "CHECK_LIMIT_S"):
        monkeypatch.setattr(f"orchestration.operations.{name}", 60.0)
    client = temporal_env.client
    address = client.service_client.config.target_host
    return Operations(Settings(temporal_address=address, temporal_namespace=client.namespace, encryption_keys=KEYS))


@pytest.fixture
def away(free_port) -> Operations:
    return Operations(Settings(temporal_address=f"127.0.0.1:{free_port()}", encryption_keys=KEYS))


async def test_what_was_never_started_is_not_running(real):
    assert await real.is_running(str(uuid4())) is False
    assert await real.progress(str(uuid4())) is None
    with pytest.raises(ConflictError) as caught:
        await real.abort(str(uuid4()), STOP)
    assert caught.value.code == ErrorCode.INVALID_STATE
    await real.check()


async def test_an_environment_that_nobody_asked_for_a_lock_need_not_know_of_its_settings(real):
    await real.tell_environment(SignalName.SETTINGS_CHANGED, changed())


async def test_a_workflow_without_a_worker_cannot_be_asked_or_stopped_now_and_says_so_in_time(real, monkeypatch):
    wanted = order()
    workflow_id = wanted.place.workflow_id
    monkeypatch.setattr("orchestration.operations.CONTROL_QUEUE", f"nobody-{uuid4()}")
    await real.start(OperationKind.BUILD_AND_DEPLOY, wanted.model_dump(mode="json"))
    await real.start(OperationKind.BUILD_AND_DEPLOY, wanted.model_dump(mode="json"))
    assert await real.is_running(workflow_id) is True
    monkeypatch.setattr("orchestration.operations.UPDATE_LIMIT_S", 1.0)
    async with asyncio.timeout(HANGS_S):
        assert await real.progress(workflow_id) is None
        with pytest.raises(DependencyError):
            await real.abort(workflow_id, STOP)


async def test_a_build_that_exists_is_deployed_by_its_own_workflow(real, monkeypatch, temporal_env):
    wanted = deploy()
    workflow_id = wanted.place.workflow_id
    monkeypatch.setattr("orchestration.operations.CONTROL_QUEUE", f"nobody-{uuid4()}")
    await real.start(OperationKind.DEPLOY, wanted.model_dump(mode="json"))
    seen = await temporal_env.client.get_workflow_handle(workflow_id).describe()
    assert seen.workflow_type == WorkflowName.DEPLOY
    assert await seen.static_summary() == "Deploy acme/shop 1.0.0 to dev"
    assert str(wanted.build_id) in (await seen.static_details() or "")


async def test_a_server_that_is_away_is_a_dependency(away):
    async with asyncio.timeout(HANGS_S):
        assert await away.progress(str(uuid4())) is None
        for ask in (
            away.check,
            lambda: away.is_running(str(uuid4())),
            lambda: away.abort(str(uuid4()), STOP),
            lambda: away.tell_environment(SignalName.SETTINGS_CHANGED, changed()),
            lambda: away.start(OperationKind.BUILD_AND_DEPLOY, order().model_dump(mode="json")),
        ):
            with pytest.raises(DependencyError):
                await ask()


async def test_a_namespace_that_is_missing_is_not_a_workflow_that_is_missing(temporal_env):
    address = temporal_env.client.service_client.config.target_host
    astray = Operations(Settings(temporal_address=address, temporal_namespace="elsewhere"))
    with pytest.raises(DependencyError):
        await astray.is_running(str(uuid4()))


@pytest.mark.parametrize("status", list(RPCStatusCode))
async def test_every_rpc_error_becomes_a_dependency(status):
    with pytest.raises(DependencyError) as caught:
        async with answering_within(1):
            raise RPCError("strange", status, b"")
    assert caught.value.retry_after_s > 0


async def test_an_update_that_was_cut_off_is_a_dependency():
    with pytest.raises(DependencyError):
        async with answering_within(1):
            raise WorkflowUpdateRPCTimeoutOrCancelledError


def test_missing_means_the_workflow():
    found = GrpcStatus(code=5, message="no")
    assert is_missing(RPCError("no", RPCStatusCode.NOT_FOUND, found.SerializeToString()))
    found.details.add().Pack(NamespaceNotFoundFailure(namespace="x"))
    assert not is_missing(RPCError("no", RPCStatusCode.NOT_FOUND, found.SerializeToString()))
    assert not is_missing(RPCError("no", RPCStatusCode.UNAVAILABLE, b""))


async def test_what_was_accepted_is_answered_the_same_by_a_workflow_that_is_closed(real, decided):
    """A relay that tells it again, since the teller died before it noted the answer, must not hear a refusal."""
    handle, workflow_id = decided
    await real.abort(workflow_id, STOP)
    assert await handle.result() == 1
    await real.abort(workflow_id, STOP)
    with pytest.raises(ConflictError) as other:
        await real.abort(workflow_id, AbortRequest(actor="bob", reason="no"))
    assert (other.value.message, other.value.details) == ("the operation is not running", {})


async def test_what_was_refused_may_be_accepted_when_it_is_sent_again(real, decided):
    """Why one at a time tells a decision: a refusal is no part of the history."""
    _, workflow_id = decided
    refused = AbortRequest(actor="ann", reason="refused")
    for _ in range(2):
        with pytest.raises(ConflictError, match="not now"):
            await real.abort(workflow_id, refused)


async def test_what_cannot_be_known_any_more_is_not_called_refused(real, decided):
    """Temporal's database was lost, or the workflow was ended by force in the middle of the decision."""
    with pytest.raises(ConflictError, match="does not know") as lost:
        await real.abort(str(uuid4()), STOP)
    assert lost.value.details == {"state": "unknown"}
    handle, workflow_id = decided
    hangs = asyncio.create_task(real.abort(workflow_id, AbortRequest(actor="ann", reason="hang")))
    while not [e async for e in handle.fetch_history_events() if e.HasField(ACCEPTED)]:  # noqa: ASYNC110 - told by the server
        await asyncio.sleep(0.02)
    await handle.terminate()
    with pytest.raises(ConflictError, match="by force") as cut:
        await hangs
    assert cut.value.details == {"state": "unknown"}


async def test_a_connection_is_made_again_after_a_failure(free_port):
    connection = Connection(Settings(temporal_address=f"127.0.0.1:{free_port()}"))
    for _ in range(2):
        with pytest.raises(DependencyError):
            await connection.check(0.5)
