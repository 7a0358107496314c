"""Activities answer to the workflows that the record knows, and not to those that a stranger runs beside them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from temporalio import activity, workflow
from temporalio.client import ActivityFailureError, Client, WorkflowFailureError, WorkflowHandle
from temporalio.common import RawValue
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ActivityError, ApplicationError, ChildWorkflowError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.callers import CallerGuard
from activities.refusals import Refusals
from contracts.names import WorkflowName, environment_workflow_id, webhook_delivery_workflow_id
from contracts.operations import RECORD_PROGRESS
from contracts.rescans import RESCAN_PAGE, RescanPage
from contracts.rollouts import (
    CHECK_HOLDER,
    CHECK_WINDOW,
    RETURN_TURN,
    SHIFT_TRAFFIC,
    STOP_RELEASE,
    HolderCheck,
    ShiftTraffic,
    StopRelease,
    WindowQuery,
)
from contracts.signatures import CHECK_START
from contracts.stubs import ActivityStub
from contracts.webhooks import ATTEMPT_WEBHOOK, WebhookAttempt
from domain.lifecycle import FINISHED_OPERATIONS, OperationKind, OperationStatus
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
        stubs: list[ActivityStub[Any, Any]] = [CHECK_START, RECORD_PROGRESS, SHIFT_TRAFFIC, RETURN_TURN]
        return [
            *(self._named(stub.name, dict[str, Any]) for stub in stubs),
            self._named(CHECK_WINDOW.name, WindowQuery),
            self._named(CHECK_HOLDER.name, HolderCheck),
            self._named(STOP_RELEASE.name, StopRelease),
            self._named(ATTEMPT_WEBHOOK.name, WebhookAttempt),
            self._named(RESCAN_PAGE.name, RescanPage),
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
    """A workflow of a stranger's, of whatever type it likes, which calls the activity that it is told.

    `first`: whether it continues as new, or has a child of the same type do it, before.
    """

    @workflow.run
    async def run(self, args: Sequence[RawValue]) -> str:
        queue, called, request, first = (workflow.payload_converter().from_payload(one.payload) for one in args)
        if first == "new":
            workflow.continue_as_new(args=[queue, called, request, ""])
        if first:
            kind = workflow.info().workflow_type
            return str(await workflow.execute_child_workflow(kind, args=[queue, called, request, ""], id=first))
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

    async def begin(self, kind: str, workflow_id: str, called: str, request: Any, first: str = "") -> WorkflowHandle:
        """Have a workflow of a stranger's that is to call one of ours; nobody carries it out yet."""
        return await self.client.start_workflow(
            kind, args=[self.queue, called, request, first], id=workflow_id, task_queue=f"strange-{uuid4()}"
        )

    async def end(self, handle: WorkflowHandle) -> None:
        """Have it carried out by a worker of the stranger's."""
        strange = Worker(
            self.client,
            task_queue=(await handle.describe()).task_queue,
            workflows=[Calling],
            workflow_runner=UnsandboxedWorkflowRunner(),
        )
        async with strange:
            await handle.result()

    async def call(self, *given: Any) -> None:
        """Both."""
        await self.end(await self.begin(*given))

    async def refused(self, *given: Any) -> None:
        with pytest.raises(WorkflowFailureError) as fault:
            await self.call(*given)
        cause = fault.value.cause
        if isinstance(cause, ChildWorkflowError):
            cause = cause.cause
        assert isinstance(cause, ActivityError)
        assert isinstance(cause.cause, ApplicationError)
        assert cause.cause.type == "ORCHESTRATION_LOST"
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


async def operation(
    sessions: Sessions,
    place: History,
    status: OperationStatus = OperationStatus.IN_PROGRESS,
    run_id: UUID | None = None,
    prefix: str = "",
) -> UUID:
    operation_id = uuid4()
    async with transaction(sessions) as session:
        session.add(
            Operation(
                id=operation_id,
                organization_id=place.organization_id,
                project_id=place.project_id,
                kind=OperationKind.DEPLOY,
                status=status,
                workflow_run_id=run_id,
                named_workflow_id=f"{prefix}/{operation_id}" if prefix else None,
                resource_id=place.releases[0],
                requested_by="ann",
            )
        )
    return operation_id


async def kept_run(sessions: Sessions, operation_id: UUID) -> UUID | None:
    async with transaction(sessions) as session:
        return (await session.get_one(Operation, operation_id)).workflow_run_id


def run_of(handle: WorkflowHandle) -> UUID:
    return UUID(handle.first_execution_run_id)


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
            assert not bed.refusals.take()  # an audit entry would be of nobody; it is logged


@pytest.mark.parametrize("status", OperationStatus)
async def test_another_run_in_the_place_of_an_operation_calls_nothing(
    bed: Bed, sessions: Sessions, place: History, status: OperationStatus
) -> None:
    """The workflow was terminated, or is over, and a stranger started one of its own under the same id."""
    operation_id = await operation(sessions, place, status, run_id=uuid4())
    await bed.refused(WorkflowName.DEPLOY, str(operation_id), SHIFT_TRAFFIC.name, SHIFT)
    [told] = bed.refusals.take()
    assert (told.workflow_id, told.asked) == (str(operation_id), f"activity {SHIFT_TRAFFIC.name}")


@pytest.mark.parametrize("status", [OperationStatus.PENDING, *sorted(FINISHED_OPERATIONS)])
@pytest.mark.parametrize("called", [SHIFT_TRAFFIC, RECORD_PROGRESS, RETURN_TURN], ids=lambda stub: stub.name)
async def test_an_operation_without_a_run_that_is_not_under_way_has_nobody_to_call(
    *, bed: Bed, sessions: Sessions, place: History, status: OperationStatus, called: ActivityStub[Any, Any]
) -> None:
    """It was finished before runs were kept, it never began, or its start was not checked."""
    operation_id = await operation(sessions, place, status)
    await bed.refused(WorkflowName.DEPLOY, str(operation_id), called.name, {})
    assert bed.refusals.take()
    assert await kept_run(sessions, operation_id) is None


@pytest.mark.parametrize("kept", ["", "acme/shop/dev/1.0.0"])
async def test_a_workflow_with_another_beginning_of_its_id_is_no_operations(
    bed: Bed, sessions: Sessions, place: History, kept: str
) -> None:
    """Also for one that was under way when runs began to be kept, whose run anybody could be."""
    operation_id = await operation(sessions, place, prefix=kept)
    for prefix in ("acme/shop/dev/9.9.9/", "x/", "" if kept else "acme/shop/dev/1.0.0/"):
        await bed.refused(WorkflowName.DEPLOY, f"{prefix}{operation_id}", SHIFT_TRAFFIC.name, SHIFT)
    assert await kept_run(sessions, operation_id) is None
    handle = await bed.begin(WorkflowName.DEPLOY, f"{kept}/{operation_id}".removeprefix("/"), SHIFT_TRAFFIC.name, SHIFT)
    await bed.end(handle)
    assert await kept_run(sessions, operation_id) == run_of(handle)


@pytest.mark.parametrize("first", ["new", "child"])
async def test_a_run_that_follows_another_is_another(bed: Bed, sessions: Sessions, place: History, first: str) -> None:
    """Continued as new under the operation's id; or a child has that id, whatever its parent is."""
    operation_id = await operation(sessions, place)
    workflow_id = str(operation_id) if first == "new" else f"parent-{uuid4()}"
    handle = await bed.begin(
        WorkflowName.DEPLOY, workflow_id, SHIFT_TRAFFIC.name, SHIFT, first if first == "new" else str(operation_id)
    )
    async with transaction(sessions) as session:
        assert await StandingRepository(session).take_start(operation_id, run_of(handle)) is not None
    with pytest.raises(WorkflowFailureError):
        await bed.end(handle)
    assert bed.ours.done == []


async def test_nobody_but_our_own_code_has_a_start_checked(bed: Bed, sessions: Sessions, place: History) -> None:
    """It keeps the run that it is told of: from elsewhere, somebody's own would be the operation's from then on."""
    operation_id = await operation(sessions, place, OperationStatus.PENDING)
    await bed.refused(WorkflowName.DEPLOY, str(operation_id), CHECK_START.name, {})
    [told] = bed.refusals.take()
    assert told.asked == f"activity {CHECK_START.name}"


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
    environment_id, delivery_id = uuid4(), uuid4()
    name, window = environment_workflow_id(environment_id), WindowQuery(environment_id=environment_id)
    attempt = WebhookAttempt(delivery_id=delivery_id, endpoint_id=uuid4(), number=2)
    await bed.refused(WorkflowName.ENVIRONMENT, name, STOP_RELEASE.name, STOP)
    await bed.call(WorkflowName.ENVIRONMENT, name, STOP_RELEASE.name, STOP_RETIRED)
    await bed.call(WorkflowName.ENVIRONMENT, name, CHECK_WINDOW.name, window)
    await bed.call(WorkflowName.ENVIRONMENT, name, CHECK_HOLDER.name, HolderCheck(workflow_id=str(uuid4())))
    await bed.call(
        WorkflowName.WEBHOOK_DELIVERY, webhook_delivery_workflow_id(delivery_id), ATTEMPT_WEBHOOK.name, attempt
    )
    await bed.call(WorkflowName.RESCAN, "rescan-2026-12-01T00:00:00Z", RESCAN_PAGE.name, RescanPage())
    called = [STOP_RELEASE, CHECK_WINDOW, CHECK_HOLDER, ATTEMPT_WEBHOOK, RESCAN_PAGE]
    assert bed.ours.done == [stub.name for stub in called]


async def test_helpers_call_for_themselves_alone(bed: Bed) -> None:
    """Under an id of a stranger's, or of another environment or delivery."""
    entity, retry = WorkflowName.ENVIRONMENT, WorkflowName.WEBHOOK_DELIVERY
    window, attempt = (
        WindowQuery(environment_id=uuid4()),
        WebhookAttempt(delivery_id=uuid4(), endpoint_id=uuid4(), number=2),
    )
    for kind, workflow_id, called, request in (
        (entity, environment_workflow_id(uuid4()), CHECK_WINDOW, window),
        (entity, f"other-{window.environment_id}", CHECK_WINDOW, window),
        (entity, "environment-anything", STOP_RELEASE, STOP_RETIRED),
        (entity, str(uuid4()), CHECK_HOLDER, HolderCheck(workflow_id="x")),
        (entity, environment_workflow_id(attempt.delivery_id), ATTEMPT_WEBHOOK, attempt),
        (retry, webhook_delivery_workflow_id(uuid4()), ATTEMPT_WEBHOOK, attempt),
        (retry, "anything", ATTEMPT_WEBHOOK, attempt),
        (WorkflowName.RESCAN, "rescan-2026-12-01T00:00:00Z", ATTEMPT_WEBHOOK, attempt),
        (WorkflowName.RESCAN, "anything", RESCAN_PAGE, RescanPage()),
    ):
        await bed.refused(kind, workflow_id, called.name, request)
        [told] = bed.refusals.take()
        assert (told.workflow_id, told.asked) == (workflow_id, f"activity {called.name}")


async def test_the_run_that_the_record_has_calls_what_it_needs(bed: Bed, sessions: Sessions, place: History) -> None:
    operation_id = await operation(sessions, place, OperationStatus.PENDING)
    handle = await bed.begin(WorkflowName.DEPLOY, str(operation_id), SHIFT_TRAFFIC.name, SHIFT)
    async with transaction(sessions) as session:
        assert await StandingRepository(session).take_start(operation_id, run_of(handle)) is not None
    await bed.end(handle)
    assert bed.ours.done == [SHIFT_TRAFFIC.name]


async def test_it_releases_its_lock_after_its_end_was_recorded(bed: Bed, sessions: Sessions, place: History) -> None:
    operation_id = await operation(sessions, place, OperationStatus.PENDING)
    handle = await bed.begin(WorkflowName.DEPLOY, str(operation_id), RETURN_TURN.name, {})
    async with transaction(sessions) as session:
        assert await StandingRepository(session).take_start(operation_id, run_of(handle)) is not None
        (await session.get_one(Operation, operation_id)).status = OperationStatus.COMPLETED
    await bed.end(handle)
    assert bed.ours.done == [RETURN_TURN.name]


@pytest.mark.parametrize("status", [OperationStatus.IN_PROGRESS, OperationStatus.CANCELLING])
async def test_what_began_before_runs_were_kept_goes_on_and_is_the_only_one(
    bed: Bed, sessions: Sessions, place: History, status: OperationStatus
) -> None:
    operation_id = await operation(sessions, place, status)
    handle = await bed.begin(WorkflowName.DEPLOY, str(operation_id), SHIFT_TRAFFIC.name, SHIFT)
    await bed.end(handle)
    assert bed.ours.done == [SHIFT_TRAFFIC.name]
    assert await kept_run(sessions, operation_id) == run_of(handle)
    bed.ours.done.clear()
    await bed.refused(WorkflowName.DEPLOY, str(operation_id), SHIFT_TRAFFIC.name, SHIFT)


async def test_a_run_is_adopted_once_however_many_ask_at_once(sessions: Sessions, place: History) -> None:
    operation_id, ours = await operation(sessions, place), uuid4()

    async def ask(run_id: UUID) -> bool:
        async with transaction(sessions) as session:
            return await StandingRepository(session).adopt(operation_id, run_id)

    assert await asyncio.gather(*(ask(ours) for _ in range(5))) == [True] * 5
    assert not await ask(uuid4())
    assert await kept_run(sessions, operation_id) == ours
