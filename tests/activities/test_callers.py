"""Activities answer to the workflows that the record knows, and not to those that a stranger runs beside them."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from temporalio import activity, workflow
from temporalio.client import ActivityFailureError, Client, WorkflowFailureError
from temporalio.common import RawValue
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.callers import CallerGuard
from activities.refusals import Refusals
from contracts.names import WorkflowName, environment_workflow_id
from contracts.operations import RECORD_PROGRESS
from contracts.rollouts import CHECK_WINDOW, SHIFT_TRAFFIC, STOP_RELEASE, ShiftTraffic, StopRelease, WindowQuery
from contracts.signatures import CHECK_START
from contracts.webhooks import ATTEMPT_WEBHOOK
from domain.lifecycle import OperationKind, OperationStatus
from storage.engine import Sessions, transaction
from storage.models import Operation
from storage.repositories.standing import StandingRepository
from tests.activities.conftest import History, MakeHistory

STOP = StopRelease(release_id=uuid4())
STOP_RETIRED = StopRelease(release_id=uuid4(), only_if_retired=True)


class Ours:
    """Stand in for the engine's activities: note what was carried out."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def all(self) -> list[Any]:
        names = (CHECK_START, RECORD_PROGRESS, SHIFT_TRAFFIC, CHECK_WINDOW, ATTEMPT_WEBHOOK)
        return [
            *(self._named(stub.name, dict[str, Any]) for stub in names),
            self._named(STOP_RELEASE.name, StopRelease),
        ]

    def _named(self, name: str, taken: Any) -> Any:
        async def run(request: Any) -> str:
            del request
            self.done.append(name)
            return name

        run.__annotations__["request"] = taken
        return activity.defn(name=name)(run)


@workflow.defn(dynamic=True, sandboxed=False)
class Calling:
    """A workflow of a stranger's, of whatever type it likes, which calls the activity that it is told."""

    @workflow.run
    async def run(self, args: Sequence[RawValue]) -> str:
        queue, called, request = (workflow.payload_converter().from_payload(one.payload) for one in args)
        done: str = await workflow.execute_activity(
            called, request, task_queue=queue, schedule_to_close_timeout=timedelta(seconds=60)
        )
        return done


@dataclass
class Bed:
    client: Client
    ours: Ours
    refusals: Refusals
    queue: str

    async def call(self, kind: str, workflow_id: str, called: str, request: Any, run: list[str] | None = None) -> None:
        """Have a workflow of a stranger's call one of ours; `run` is told its run id before it is picked up."""
        strange = f"strange-{uuid4()}"
        handle = await self.client.start_workflow(
            kind, args=[self.queue, called, request], id=workflow_id, task_queue=strange
        )
        if run is not None:
            assert handle.first_execution_run_id
            run.append(handle.first_execution_run_id)
            return
        async with Worker(
            self.client, task_queue=strange, workflows=[Calling], workflow_runner=UnsandboxedWorkflowRunner()
        ):
            await handle.result()

    async def refused(self, *given: Any) -> None:
        with pytest.raises(WorkflowFailureError) as fault:
            await self.call(*given)
        assert isinstance(fault.value.cause, ActivityError)
        assert isinstance(fault.value.cause.cause, ApplicationError)
        assert fault.value.cause.cause.type == "ORCHESTRATION_LOST"
        assert self.ours.done == []


@pytest.fixture
async def bed(temporal_env: WorkflowEnvironment, sessions: Sessions) -> AsyncIterator[Bed]:
    address = temporal_env.client.service_client.config.target_host
    client = await Client.connect(address, data_converter=pydantic_data_converter)
    ours, refusals, queue = Ours(), Refusals(), f"ours-{uuid4()}"
    async with Worker(client, task_queue=queue, activities=ours.all(), interceptors=[CallerGuard(sessions, refusals)]):
        yield Bed(client, ours, refusals, queue)


@pytest.fixture
async def place(history: MakeHistory) -> History:
    return await history(1)


async def operation(sessions: Sessions, place: History) -> UUID:
    operation_id = uuid4()
    async with transaction(sessions) as session:
        session.add(
            Operation(
                id=operation_id,
                organization_id=place.organization_id,
                project_id=place.project_id,
                kind=OperationKind.DEPLOY,
                status=OperationStatus.IN_PROGRESS,
                resource_id=place.releases[0],
                requested_by="ann",
            )
        )
    return operation_id


SHIFT = ShiftTraffic(environment_id=uuid4(), host="x", shares=())


@pytest.mark.parametrize("kind", ["Strange", "Webhook", WorkflowName.WEBHOOK_DELIVERY, WorkflowName.ENVIRONMENT])
async def test_a_workflow_that_is_no_operation_moves_no_traffic(bed: Bed, kind: str) -> None:
    await bed.refused(kind, f"{kind}-{uuid4()}", SHIFT_TRAFFIC.name, SHIFT)
    [told] = bed.refusals.take()
    assert told.asked == f"activity {SHIFT_TRAFFIC.name}"


async def test_an_operation_that_the_record_does_not_have_calls_nothing(bed: Bed) -> None:
    for workflow_id in (str(uuid4()), "anything"):
        for called in (SHIFT_TRAFFIC.name, RECORD_PROGRESS.name):
            await bed.refused(WorkflowName.DEPLOY, workflow_id, called, {})


async def test_another_run_in_the_place_of_an_operation_calls_nothing(
    bed: Bed, sessions: Sessions, place: History
) -> None:
    """The workflow was terminated, and a stranger started one of its own under the same id."""
    operation_id = await operation(sessions, place)
    async with transaction(sessions) as session:
        assert await StandingRepository(session).take_start(operation_id, uuid4()) is not None
    await bed.refused(WorkflowName.DEPLOY, str(operation_id), SHIFT_TRAFFIC.name, SHIFT)


async def test_an_activity_without_a_workflow_is_refused(bed: Bed) -> None:
    with pytest.raises(ActivityFailureError):
        await bed.client.execute_activity(
            SHIFT_TRAFFIC.name,
            SHIFT,
            id=str(uuid4()),
            task_queue=bed.queue,
            schedule_to_close_timeout=timedelta(seconds=60),
        )
    assert bed.ours.done == []
    assert bed.refusals.take()


async def test_an_environment_stops_what_is_retired_and_nothing_else(bed: Bed) -> None:
    name = environment_workflow_id(uuid4())
    await bed.refused(WorkflowName.ENVIRONMENT, name, STOP_RELEASE.name, STOP)
    await bed.call(WorkflowName.ENVIRONMENT, name, STOP_RELEASE.name, STOP_RETIRED)
    await bed.call(WorkflowName.ENVIRONMENT, name, CHECK_WINDOW.name, WindowQuery(environment_id=uuid4()))
    await bed.call(WorkflowName.WEBHOOK_DELIVERY, f"webhook-delivery-{uuid4()}", ATTEMPT_WEBHOOK.name, {})
    assert bed.ours.done == [STOP_RELEASE.name, CHECK_WINDOW.name, ATTEMPT_WEBHOOK.name]


async def test_the_run_that_the_record_has_calls_what_it_needs(bed: Bed, sessions: Sessions, place: History) -> None:
    operation_id, runs = await operation(sessions, place), list[str]()
    await bed.call(WorkflowName.DEPLOY, str(operation_id), SHIFT_TRAFFIC.name, SHIFT, runs)
    async with transaction(sessions) as session:
        assert await StandingRepository(session).take_start(operation_id, UUID(runs[0])) is not None
    handle = bed.client.get_workflow_handle(str(operation_id))
    queue = (await handle.describe()).task_queue
    async with Worker(
        bed.client,
        task_queue=queue,
        workflows=[Calling],
        workflow_runner=UnsandboxedWorkflowRunner(),
    ):
        await handle.result()
    assert bed.ours.done == [SHIFT_TRAFFIC.name]


async def test_what_began_before_runs_were_kept_goes_on(bed: Bed, sessions: Sessions, place: History) -> None:
    operation_id = await operation(sessions, place)
    await bed.call(WorkflowName.DEPLOY, str(operation_id), SHIFT_TRAFFIC.name, SHIFT)
    assert bed.ours.done == [SHIFT_TRAFFIC.name]
