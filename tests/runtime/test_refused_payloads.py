"""With keys set, what comes to Temporal from somebody without them does nothing, and stops nothing."""

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from temporalio import activity, workflow
from temporalio.api.common.v1 import Payload, Payloads, WorkflowExecution
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.workflowservice.v1 import (
    RespondActivityTaskCompletedByIdRequest,
    RespondActivityTaskFailedByIdRequest,
    SignalWorkflowExecutionRequest,
)
from temporalio.client import (
    Client,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
)
from temporalio.common import RetryPolicy
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from domain.errors import DependencyError
from orchestration.connection import answering_within
from runtime.codec import ENCODING
from runtime.refused_payloads import TYPE
from runtime.settings import Settings
from runtime.temporal import connect_temporal

KEYS = base64.b64encode(b"k" * 32).decode()


@activity.defn
async def hold(word: str) -> str:
    """Until somebody says that it is done; heartbeats, so that it hears of it."""
    while word == "hold":
        activity.heartbeat()
        await asyncio.sleep(0.02)
    return word


@workflow.defn(name="Listener")
class Listener:
    """Hears words by every way there is."""

    @workflow.init
    def __init__(self, word: str) -> None:
        self.words = [word]

    @workflow.run
    async def run(self, word: str) -> list[str]:
        if word == "hold":
            try:
                done: str = await workflow.execute_activity(
                    hold,
                    word,
                    activity_id="held",
                    start_to_close_timeout=timedelta(minutes=2),
                    heartbeat_timeout=timedelta(seconds=30),
                    retry_policy=RetryPolicy(maximum_attempts=1),
                )
            except ActivityError as fault:
                cause = fault.cause
                return [cause.message, cause.type or ""] if isinstance(cause, ApplicationError) else [repr(cause)]
            return [done]
        await workflow.execute_local_activity(hold, word, start_to_close_timeout=timedelta(seconds=30))
        await workflow.wait_condition(lambda: "end" in self.words)
        return self.words

    @workflow.signal
    def tell(self, word: str) -> None:
        self.words.append(word)

    @workflow.update
    def ask(self, word: str) -> str:
        self.words.append(word)
        return word

    @workflow.query
    def heard(self, but: str = "") -> list[str]:
        return [word for word in self.words if word != but]


@dataclass
class Place:
    """`ours` has the keys; `theirs` is anybody's client."""

    ours: Client
    theirs: Client
    queue: str

    async def started(self, word: str = "first") -> WorkflowHandle[Any, Any]:
        return await self.ours.start_workflow("Listener", word, id=str(uuid4()), task_queue=self.queue)

    def as_stranger(self, handle: WorkflowHandle[Any, Any]) -> WorkflowHandle[Any, Any]:
        return self.theirs.get_workflow_handle(handle.id)


@pytest.fixture
async def place(temporal_env: WorkflowEnvironment) -> AsyncIterator[Place]:
    address = temporal_env.client.service_client.config.target_host
    ours = await connect_temporal(Settings(temporal_address=address, temporal_codec_keys=KEYS))
    theirs = await Client.connect(address, data_converter=pydantic_data_converter)
    queue = f"refusing-{uuid4()}"
    worker = Worker(
        ours,
        task_queue=queue,
        workflows=[Listener],
        activities=[hold],
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_heartbeat_throttle_interval=timedelta(milliseconds=50),
    )
    async with worker:
        yield Place(ours, theirs, queue)


async def ends(handle: WorkflowHandle[Any, Any]) -> Any:
    """It goes on after all that: the last word reaches it."""
    await handle.signal("tell", "end")
    async with asyncio.timeout(60):
        return await handle.result()


async def test_a_plain_signal_is_dropped_and_the_workflow_goes_on(place: Place) -> None:
    handle = await place.started()
    await place.as_stranger(handle).signal("tell", "strange")
    await place.as_stranger(handle).signal("tell", None)
    assert await ends(handle) == ["first", "end"]


async def test_a_signal_that_was_changed_is_dropped_too(place: Place) -> None:
    handle = await place.started()
    [sealed] = await place.ours.data_converter.encode(["strange"])
    sealed.data = sealed.data[:-1] + bytes([sealed.data[-1] ^ 1])
    await place.theirs.workflow_service.signal_workflow_execution(
        SignalWorkflowExecutionRequest(
            namespace=place.theirs.namespace,
            workflow_execution=WorkflowExecution(workflow_id=handle.id),
            signal_name="tell",
            input=Payloads(payloads=[sealed]),
        )
    )
    assert await ends(handle) == ["first", "end"]


async def test_a_plain_update_is_rejected_and_a_plain_query_fails(place: Place) -> None:
    handle = await place.started()
    strange = place.as_stranger(handle)
    with pytest.raises(WorkflowUpdateFailedError):
        await strange.execute_update("ask", "strange")
    with pytest.raises(WorkflowQueryFailedError):
        await strange.query("heard", "first")
    assert await handle.execute_update("ask", "ours") == "ours"
    assert await ends(handle) == ["first", "ours", "end"]


async def test_a_plain_start_fails_at_once(place: Place) -> None:
    handle = await place.theirs.start_workflow("Listener", "strange", id=str(uuid4()), task_queue=place.queue)
    with pytest.raises(WorkflowFailureError):
        async with asyncio.timeout(60):
            await handle.result()


async def held(place: Place) -> WorkflowHandle[Any, Any]:
    handle = await place.started("hold")
    async with asyncio.timeout(60):
        while not (await handle.describe()).raw_description.pending_activities:  # noqa: ASYNC110 - only asking tells
            await asyncio.sleep(0.02)
    return handle


async def test_an_activity_that_a_stranger_calls_done_is_not_believed(place: Place) -> None:
    handle = await held(place)
    await place.theirs.workflow_service.respond_activity_task_completed_by_id(
        RespondActivityTaskCompletedByIdRequest(
            namespace=place.theirs.namespace,
            workflow_id=handle.id,
            activity_id="held",
            result=Payloads(payloads=[Payload(metadata={"encoding": b"json/plain"}, data=b'"strange"')]),
        )
    )
    with pytest.raises(WorkflowFailureError) as fault:
        async with asyncio.timeout(60):
            await handle.result()
    assert isinstance(fault.value.cause, ApplicationError)
    assert fault.value.cause.type == TYPE


async def test_the_words_of_a_plain_failure_are_not_believed(place: Place) -> None:
    handle = await held(place)
    info = ApplicationFailureInfo(type="STABLE_UNHEALTHY", non_retryable=True)
    await place.theirs.workflow_service.respond_activity_task_failed_by_id(
        RespondActivityTaskFailedByIdRequest(
            namespace=place.theirs.namespace,
            workflow_id=handle.id,
            activity_id="held",
            failure=Failure(message="strange words", application_failure_info=info),
        )
    )
    async with asyncio.timeout(60):
        message, kind = await handle.result()
    assert "strange" not in message
    assert kind == TYPE


async def test_what_a_stranger_answers_to_us_is_a_dependency_that_is_strange(place: Place) -> None:
    """Another worker on the same queue, without the keys, answers queries in the clear."""
    queue = f"strange-{uuid4()}"
    runner = UnsandboxedWorkflowRunner()
    async with Worker(place.theirs, task_queue=queue, workflows=[Listener], activities=[hold], workflow_runner=runner):
        handle = await place.theirs.start_workflow("Listener", "strange", id=str(uuid4()), task_queue=queue)
        with pytest.raises(DependencyError, match="not encrypted"):
            async with answering_within(30):
                await place.ours.get_workflow_handle(handle.id).query("heard")
        await handle.signal("tell", "end")
        await handle.result()


async def test_markers_of_local_activities_and_results_are_encrypted(place: Place) -> None:
    handle = await place.started()
    await ends(handle)
    history = await handle.fetch_history()
    kept = b"".join(event.SerializeToString() for event in history.events)
    assert b"first" not in kept
    assert ENCODING in kept
