"""Spans of workflows: each once, however often they are replayed, and histories replay with and without them."""

import asyncio
import gc
from collections import Counter
from datetime import timedelta
from uuid import uuid4

import pytest
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Replayer, Worker

from runtime import tracing
from runtime.codec import data_converter
from runtime.settings import Settings
from runtime.telemetry import temporal_plugins
from runtime.trace_provider import REQUEST
from tests.support.tracing import Traced, traced_here
from tests.workflows.test_histories import HISTORIES, saved
from workflows.registry import WORKFLOWS, sandbox

NAMES = sorted(HISTORIES)


@activity.defn(name="traced.step")
async def step(number: int) -> int:
    with tracing.span("driver.call"):
        return number


@workflow.defn(name="Traced", sandboxed=False)
class TracedWorkflow:
    """Three steps, with rests between them."""

    def __init__(self) -> None:
        self.open = False

    @workflow.signal
    def go(self) -> None:
        self.open = True

    @workflow.query
    def is_open(self) -> bool:
        return self.open

    @workflow.run
    async def run(self) -> None:
        for number in range(3):
            await workflow.execute_activity(step, number, start_to_close_timeout=timedelta(seconds=60))
            await workflow.sleep(timedelta(milliseconds=10))
        await workflow.wait_condition(lambda: self.open)


async def _client(env: WorkflowEnvironment) -> Client:
    config = env.client.config()
    return Client(**{**config, "plugins": temporal_plugins()})  # type: ignore[misc] # as `Client.connect` would make it


async def test_a_workflow_that_is_replayed_at_each_task_and_moves_to_another_worker_tells_each_span_once(
    temporal_env: WorkflowEnvironment,
) -> None:
    queue = f"traced-{uuid4()}"
    async with traced_here() as told:
        client = await _client(temporal_env)
        made = tracing.active()
        assert made is not None

        def worker(cached: int = 0) -> Worker:
            return Worker(
                client, task_queue=queue, workflows=[TracedWorkflow], activities=[step], max_cached_workflows=cached
            )

        request = made.request("POST", {REQUEST: "POST"}, None)
        with tracing.within(
            f"00-{request.get_span_context().trace_id:032x}-{request.get_span_context().span_id:016x}-01"
        ):
            handle = await client.start_workflow(TracedWorkflow.run, id=queue, task_queue=queue)
        request.end()
        async with worker():
            async with asyncio.timeout(120):
                while not await _has_done(told, 3):  # noqa: ASYNC110 - the collector has no event for it
                    await asyncio.sleep(0.05)
        # One that keeps workflows, and ends while they wait.
        async with worker(cached=10):
            await handle.query(TracedWorkflow.is_open)
        gc.collect()
        # Another worker has nothing but the history.
        async with worker():
            await handle.signal(TracedWorkflow.go)
            await handle.result()
        spans = [one for one in await told.spans() if one.trace_id == f"{request.get_span_context().trace_id:032x}"]
    assert Counter(one.name for one in spans) == {
        "POST": 1,
        "StartWorkflow:Traced": 1,
        "RunWorkflow:Traced": 1,
        "StartActivity:traced.step": 3,
        "RunActivity:traced.step": 3,
        "driver.call": 3,
    }
    above = {one.span_id: one for one in spans}
    lines = {(one.name, above[one.parent_id].name) for one in spans if one.parent_id}
    assert lines == {
        ("StartWorkflow:Traced", "POST"),
        ("RunWorkflow:Traced", "StartWorkflow:Traced"),
        ("StartActivity:traced.step", "RunWorkflow:Traced"),
        ("RunActivity:traced.step", "StartActivity:traced.step"),
        ("driver.call", "RunActivity:traced.step"),
    }


async def _has_done(told: Traced, steps: int) -> bool:
    return sum(one.name == "RunActivity:traced.step" for one in await told.spans()) >= steps


@pytest.mark.parametrize("names", [NAMES[:2], pytest.param(NAMES, marks=pytest.mark.deep)])
async def test_old_histories_replay_with_traces_and_tell_nothing(names: list[str]) -> None:
    async with traced_here() as told:
        replayer = Replayer(
            workflows=WORKFLOWS,
            data_converter=data_converter(Settings()),
            workflow_runner=sandbox(),
            plugins=temporal_plugins(),
        )
        results = await replayer.replay_workflows(saved(names), raise_on_replay_failure=False)
        assert results.replay_failures == {}
        assert await told.spans() == []
