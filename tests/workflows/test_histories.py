"""Old histories replay on today's code, and a change of a workflow's commands is noticed."""

import base64
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from itertools import groupby
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowFailureError, WorkflowHandle, WorkflowHistory
from temporalio.worker import Replayer

from contracts.names import (
    ABORT_UPDATE,
    SignalName,
    WorkflowName,
    environment_workflow_id,
    webhook_delivery_workflow_id,
)
from contracts.operations import AbortRequest, ActionRequest
from contracts.rescans import Rescanned, RescannedPage, RescanOrder
from contracts.rollouts import LockSuperseded
from contracts.webhooks import WebhookOutcome
from domain.approvals import Action
from domain.canary.verdict import Verdict
from domain.delivery_spec import ProcessSpec, ReleaseSpec
from domain.lifecycle import Strategy
from runtime.codec import data_converter
from runtime.ids import now
from runtime.settings import Settings
from tests.support.waiting import until
from tests.workflows.conftest import Bench
from tests.workflows.world import deploy, order, place, reported, rollback, webhook_order
from workflows.registry import WORKFLOWS, sandbox

FOLDER = Path(__file__).parent.parent / "histories"
REFRESH = bool(os.environ.get("REFRESH_HISTORIES"))
HELP = (
    "\n\nThe workflow's commands changed. Running workflows replay their histories on this code: if the saved "
    "histories still replay (test_saved_histories_replay), record the new one with REFRESH_HISTORIES=1 "
    "(tests/histories/README.md); if not, gate the change with workflow.patched()."
)


async def first_deployment(bench: Bench) -> WorkflowHandle:
    handle = await bench.start(order())
    await handle.result()
    return handle


async def release_command(bench: Bench) -> WorkflowHandle:
    bench.world.spec = bench.world.spec.model_copy(update={"release": ReleaseSpec(command="./migrate")})
    return await blue_green(bench)


async def process_types(bench: Bench) -> WorkflowHandle:
    types = {"worker": ProcessSpec(command="work", count=2)}
    bench.world.spec = bench.world.spec.model_copy(update={"processes": types})
    bench.world.old_release(processes=types)
    return await first_deployment(bench)


async def processes_taken_back(bench: Bench) -> WorkflowHandle:
    bench.world.old_release(processes={"worker": ProcessSpec(command="work")})
    bench.world.still_runs = True
    handle = await bench.start(rollback(place()))
    await handle.result()
    return handle


async def blue_green(bench: Bench) -> WorkflowHandle:
    bench.world.old_release()
    return await first_deployment(bench)


async def rolling(bench: Bench) -> WorkflowHandle:
    bench.world.old_release()
    handle = await bench.start(order(strategy=Strategy.ROLLING))
    await handle.result()
    return handle


async def failed_build(bench: Bench) -> WorkflowHandle:
    bench.world.faults["build.run"] = "BUILD_FAILED"
    return await _failing(await bench.start(order()))


async def bad_version(bench: Bench) -> WorkflowHandle:
    bench.world.old_release()
    bench.world.faults["traffic.verify"] = "TRAFFIC_UNVERIFIED"
    return await _failing(await bench.start(order(strategy=Strategy.ROLLING)))


async def aborted(bench: Bench) -> WorkflowHandle:
    bench.world.old_release()
    bench.world.hold("traffic.verify")
    handle = await bench.start(order())
    await bench.world.reached["traffic.verify"].wait()
    await handle.execute_update(ABORT_UPDATE, AbortRequest(actor="ann", reason="no"))
    return await _failing(handle)


async def rolled_back(bench: Bench) -> WorkflowHandle:
    bench.world.old_release()
    handle = await bench.start(rollback(place()))
    await handle.result()
    return handle


async def environment_turn(bench: Bench) -> WorkflowHandle:
    bench.world.use_entity = True
    environment_id = uuid4()
    handle = await bench.start(order(place(environment_id)))
    await handle.result()
    await until(lambda: "return turn" in bench.world.done)
    return bench.client.get_workflow_handle(environment_workflow_id(environment_id))


async def canary(bench: Bench) -> WorkflowHandle:
    bench.world.old_release()
    wanted = order(strategy=Strategy.CANARY, canary_percentage=20)
    handle = await bench.start(wanted)
    await handle.result()
    return handle


async def bad_canary(bench: Bench) -> WorkflowHandle:
    bench.world.verdicts = [Verdict.FAIL]
    bench.world.old_release()
    return await _failing(await bench.start(order(strategy=Strategy.CANARY, canary_percentage=20)))


async def dark_launch(bench: Bench) -> WorkflowHandle:
    bench.world.old_release()
    handle = await bench.start(order(strategy=Strategy.CANARY, canary_percentage=0))
    await until(lambda: bool(bench.world.records) and "Paused" in (bench.world.progress.current_step or ""))
    await handle.execute_update(Action.RESUME, ActionRequest(actor="ben"))
    await handle.result()
    return handle


async def deployed(bench: Bench) -> WorkflowHandle:
    bench.world.old_release()
    handle = await bench.start(deploy(strategy=Strategy.ROLLING))
    await handle.result()
    return handle


async def made_elsewhere(bench: Bench) -> WorkflowHandle:
    handle = await bench.start(reported())
    await handle.result()
    return handle


async def taken_back(bench: Bench) -> WorkflowHandle:
    bench.world.old_release()
    bench.world.still_runs = True
    handle = await bench.start(rollback(place()))
    await handle.result()
    return handle


async def superseded(bench: Bench) -> WorkflowHandle:
    bench.world.hold("build.run")
    handle = await bench.start(order())
    await bench.world.reached["build.run"].wait()
    by = LockSuperseded(workflow_id=handle.id, deployment_id=uuid4(), version="2.0.0")
    await handle.signal(SignalName.SUPERSEDE, by)
    return await _failing(handle)


async def webhook_delivered(bench: Bench) -> WorkflowHandle:
    wanted = webhook_order()
    handle = await bench.client.start_workflow(
        WorkflowName.WEBHOOK_DELIVERY,
        wanted,
        id=webhook_delivery_workflow_id(wanted.delivery_id),
        task_queue=bench.queue,
        result_type=WebhookOutcome,
    )
    assert (await handle.result()).status == "succeeded"
    assert bench.world.done == ["attempt 2", "attempt 3"]
    return handle


async def rescanned(bench: Bench) -> WorkflowHandle:
    following = uuid4()
    bench.world.rescanned = [RescannedPage(builds=20, detected=2, next=following), RescannedPage(builds=3, failed=1)]
    handle = await bench.client.start_workflow(
        WorkflowName.RESCAN, RescanOrder(), id=f"rescan-{uuid4()}", task_queue=bench.queue, result_type=Rescanned
    )
    assert await handle.result() == Rescanned(builds=23, detected=2, failed=1)
    assert bench.world.done == ["page after None", f"page after {following}"]
    return handle


async def _failing(handle: WorkflowHandle) -> WorkflowHandle:
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    return handle


SCENARIOS: list[Callable[[Bench], Awaitable[WorkflowHandle]]] = [
    first_deployment,
    release_command,
    process_types,
    processes_taken_back,
    blue_green,
    rolling,
    failed_build,
    bad_version,
    aborted,
    rolled_back,
    environment_turn,
    canary,
    bad_canary,
    dark_launch,
    deployed,
    made_elsewhere,
    taken_back,
    superseded,
    webhook_delivered,
    rescanned,
]


def fingerprint(history: WorkflowHistory) -> Iterator[str]:
    """One line a command, with what a changed argument would show in: names, queues, limits, keys of the input."""
    for event in history.events:
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            task = event.activity_task_scheduled_event_attributes
            keys = sorted(json.loads(task.input.payloads[0].data))
            limits = f"{task.start_to_close_timeout.seconds}/{task.schedule_to_close_timeout.seconds}"
            yield f"activity {task.activity_type.name} limits={limits} keys={','.join(keys)}"
        elif event.event_type == EventType.EVENT_TYPE_MARKER_RECORDED:
            yield f"marker {event.marker_recorded_event_attributes.marker_name}"
        elif event.event_type in COMMANDS:
            yield COMMANDS[event.event_type]


def apart(lines: list[str]) -> tuple[list[str], int]:
    """The commands in their order, and how many records were made.

    A person's update is handled beside the flow, so where a record's marker stands among the other commands depends
    on how long that local activity took. Replaying the saved histories is what proves that any such order is known.
    """
    records = lines.count(RECORD)
    return [line for line in lines if line != RECORD], records


RECORD = "marker core_local_activity"
COMMANDS = {
    EventType.EVENT_TYPE_TIMER_STARTED: "timer",
    EventType.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED: "cancel activity",
    EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES: "search attributes",
    EventType.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED: "signal another workflow",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED: "complete",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED: "fail",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW: "continue as new",
}


# What none of these does is a step more or less of one of them.
FIRST = (
    first_deployment,
    rolling,
    aborted,
    environment_turn,
    canary,
    deployed,
    rolled_back,
    webhook_delivered,
    rescanned,
)


@pytest.mark.parametrize(
    "scenario",
    [pytest.param(each, marks=() if each in FIRST else pytest.mark.deep, id=each.__name__) for each in SCENARIOS],
)
async def test_commands_are_the_known_ones(
    bench: Bench, scenario: Callable[[Bench], Awaitable[WorkflowHandle]]
) -> None:
    handle = await scenario(bench)
    history = await handle.fetch_history()
    lines = list(fingerprint(history))
    file = FOLDER / f"{scenario.__name__}.fingerprint"
    if REFRESH:
        _save(scenario.__name__, history, lines)
    known = file.read_text(encoding="utf-8").splitlines()
    assert apart(known) == apart(lines), HELP


HISTORIES = {file.stem: file for file in sorted(FOLDER.glob("*.json"))}


def number_of(name: str) -> int:
    return int(name.rpartition("-")[2])


def by_age() -> Iterator[Any]:
    """All names. `make test` has the oldest and the newest of each scenario, `make test-deep` those between."""
    scenarios = groupby(sorted(HISTORIES), key=lambda name: name.rpartition("-")[0])
    for ordered in (sorted(names, key=number_of) for _, names in scenarios):
        for name in ordered:
            yield pytest.param(name, marks=() if name in {ordered[0], ordered[-1]} else pytest.mark.deep)


def run_of(name: str) -> str:
    """The id of the run that was recorded. As JSON: the SDK takes a hundred times as long to read it."""
    first = json.loads(HISTORIES[name].read_text(encoding="utf-8"))["events"][0]
    return str(first["workflowExecutionStartedEventAttributes"]["originalExecutionRunId"])


async def saved(names: Iterable[str]) -> AsyncIterator[WorkflowHistory]:
    for name in names:
        yield WorkflowHistory.from_json(name, HISTORIES[name].read_text(encoding="utf-8"))


ENCRYPTING = pytest.param(base64.b64encode(bytes(32)).decode(), id="encrypting", marks=pytest.mark.deep)


@pytest.fixture(scope="module", params=[pytest.param("", id="plain"), ENCRYPTING])
async def faults(request: pytest.FixtureRequest) -> Mapping[str, Exception]:
    """What came of replaying those that this run asks for. In one worker: its start takes as long as ten replays."""
    tests = (item for item in request.session.items if item.name.startswith("test_saved_histories_replay["))
    names = sorted({item.callspec.params["name"] for item in tests})
    until = now() + timedelta(days=1)  # they were recorded without keys
    converter = data_converter(Settings(temporal_codec_keys=request.param, temporal_plain_payloads_until=until))
    replayer = Replayer(workflows=WORKFLOWS, data_converter=converter, workflow_runner=sandbox())
    results = await replayer.replay_workflows(saved(names), raise_on_replay_failure=False)
    return results.replay_failures


@pytest.mark.parametrize("name", list(by_age()))
async def test_saved_histories_replay(faults: Mapping[str, Exception], name: str) -> None:
    assert faults.get(run_of(name)) is None, HELP


def test_each_saved_history_is_of_a_run_of_its_own() -> None:
    assert len({run_of(name) for name in HISTORIES}) == len(HISTORIES) > 0


def _save(name: str, history: WorkflowHistory, lines: list[str]) -> None:
    file = FOLDER / f"{name}.fingerprint"
    if file.exists() and file.read_text(encoding="utf-8").splitlines() == lines:
        return
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    number = len(list(FOLDER.glob(f"{name}-*.json"))) + 1
    (FOLDER / f"{name}-{number}.json").write_text(history.to_json() + "\n", encoding="utf-8")
