"""Rows and workflows are compared in both directions, on a real Temporal and a real database; the record wins."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import structlog
from sqlalchemy import delete, update
from temporalio.client import WorkflowExecutionStatus
from temporalio.testing import WorkflowEnvironment

from contracts.names import (
    OPERATION_WORKFLOWS,
    WorkflowName,
    bare_workflow_id,
    environment_workflow_id,
    webhook_delivery_workflow_id,
)
from contracts.operations import Standing
from contracts.rollouts import EnvironmentState
from domain.errors import DependencyError
from orchestration.operations import Operations
from reconcilers.disagreements import GRACE_S as DISAGREE_S
from reconcilers.orphaned_operations import OrphanedOperations
from reconcilers.orphaned_workflows import GRACE_S, OrphanedWorkflows
from runtime.ids import new_id, now
from runtime.settings import Settings
from storage.engine import Sessions, transaction
from storage.models import Environment, Operation, Organization, Project
from tests.workflows.world import deploy, webhook_order


@dataclass
class Rows:
    """Rows of a project of its own."""

    sessions: Sessions
    organization_id: UUID
    project_id: UUID

    @property
    def shared(self) -> dict[str, UUID]:
        return {"organization_id": self.organization_id, "project_id": self.project_id}

    async def operation(self, status: str, prefix: str = "") -> UUID:
        """Started and silent since a minute ago. `prefix`: how its workflow's id begins; none: as before there were."""
        row = Operation(id=new_id(), **self.shared, kind="deploy", status=status, resource_id=new_id())
        row.named_workflow_id = f"{prefix}{row.id}" if prefix else None
        row.requested_by, row.workflow_started_at = "me", now() - timedelta(minutes=1)
        row.completed_at = now() if status == "completed" else None
        row.updated_at = now() - timedelta(minutes=1)
        async with transaction(self.sessions) as session:
            session.add(row)
        return row.id

    async def environment(self) -> UUID:
        row = Environment(id=new_id(), **self.shared, name="dev", host=f"{new_id()}.localhost")
        async with transaction(self.sessions) as session:
            session.add(row)
        return row.id

    async def status(self, operation_id: UUID) -> str:
        async with transaction(self.sessions) as session:
            return (await session.get_one(Operation, operation_id)).status


@pytest.fixture
async def rows(sessions: Sessions) -> Rows:
    organization, project = new_id(), new_id()
    async with transaction(sessions) as session:
        session.add(Organization(id=organization, name="A", slug=str(organization), host_label=str(organization)))
        await session.flush()
        names = {"name": "S", "slug": "s", "host_label": "s", "repository_url": "x"}
        session.add(Project(id=project, organization_id=organization, **names))
    return Rows(sessions, organization, project)


@pytest.fixture
def operations(temporal_env: WorkflowEnvironment) -> Operations:
    client = temporal_env.client
    address = client.service_client.config.target_host
    return Operations(Settings(temporal_address=address, temporal_namespace=client.namespace))


Begin = Callable[..., Awaitable[str]]


@pytest.fixture
def begin(temporal_env: WorkflowEnvironment, operations: Operations) -> Begin:
    """Starts a workflow that nobody carries on, and waits until it is listed."""

    async def listed(name: WorkflowName, workflow_id: str) -> bool:
        return any([workflow_id in page async for page in operations.open_workflows([name])])

    async def start(name: WorkflowName, workflow_id: str, order: Any) -> str:
        await temporal_env.client.start_workflow(name, order, id=workflow_id, task_queue=f"nobody-{uuid4()}")
        async with asyncio.timeout(120):
            while not await listed(name, workflow_id):  # noqa: ASYNC110 - polled
                await asyncio.sleep(0.05)
        return workflow_id

    return start


async def runs(env: WorkflowEnvironment, workflow_id: str) -> bool:
    seen = await env.client.get_workflow_handle(workflow_id).describe()
    return seen.status is WorkflowExecutionStatus.RUNNING


class Passes:
    """A reconciler and its clock."""

    def __init__(self, sessions: Sessions, operations: Operations) -> None:
        self._now = 0.0
        self._reconciler = OrphanedWorkflows(sessions, operations, clock=lambda: self._now)

    async def after(self, seconds: float) -> int:
        self._now += seconds
        return await self._reconciler.reconcile()


@pytest.fixture
async def passes(sessions: Sessions, operations: Operations) -> Passes:
    """What other tests left behind is ended before."""
    swept = Passes(sessions, operations)
    await swept.after(0)
    await swept.after(GRACE_S)
    return swept


async def test_a_workflow_whose_row_is_missing_or_finished_is_ended_and_others_go_on(
    *, temporal_env: WorkflowEnvironment, rows: Rows, begin: Begin, passes: Passes
) -> None:
    going_on, finished, missing = await rows.operation("in_progress"), await rows.operation("completed"), new_id()
    for operation_id in (going_on, finished, missing):
        await begin(WorkflowName.DEPLOY, bare_workflow_id(operation_id), deploy())
    assert await passes.after(0) == 0
    assert await passes.after(GRACE_S - 1) == 0  # it may be giving back its turn, or a backup is being restored
    assert await passes.after(1) == 2
    alive = [await runs(temporal_env, bare_workflow_id(each)) for each in (going_on, finished, missing)]
    assert alive == [True, False, False]
    assert await rows.status(going_on) == "in_progress"


async def test_workflows_are_known_by_the_whole_id_that_the_record_has(
    *, temporal_env: WorkflowEnvironment, rows: Rows, begin: Begin, passes: Passes, operations: Operations
) -> None:
    """An upgrade finds old and new ones; a stranger's that ends like one of them keeps nothing alive."""
    prefix = "acme/shop/dev/1.0.0/"
    old, new, lost = [await rows.operation("in_progress", each) for each in ("", prefix, prefix)]
    finished = await rows.operation("completed", prefix)
    kept = [bare_workflow_id(old), f"{prefix}{new}"]
    ended = [f"{prefix}{finished}", f"{prefix}{old}", f"other/{lost}", bare_workflow_id(new)]
    for workflow_id in kept + ended:
        await begin(WorkflowName.DEPLOY, workflow_id, deploy())
    await OrphanedOperations(rows.sessions, operations).reconcile()
    assert [await rows.status(each) for each in (old, new, lost)] == ["in_progress", "in_progress", "failed"]
    await passes.after(0)
    assert await passes.after(GRACE_S) == len(ended)
    assert [await runs(temporal_env, each) for each in kept + ended] == [True] * len(kept) + [False] * len(ended)


async def test_one_whose_row_comes_back_in_time_is_left_alone(
    *, temporal_env: WorkflowEnvironment, sessions: Sessions, rows: Rows, begin: Begin, passes: Passes
) -> None:
    """The tables are empty for a moment while a backup is restored."""
    operation_id = await rows.operation("in_progress")
    workflow_id = await begin(WorkflowName.DEPLOY, bare_workflow_id(operation_id), deploy())
    async with transaction(sessions) as session:
        kept = await session.get_one(Operation, operation_id)
        await session.execute(delete(Operation).where(Operation.id == operation_id))
    assert await passes.after(0) == 0
    async with transaction(sessions) as session:
        await session.merge(kept)
    assert await passes.after(GRACE_S) == 0
    async with transaction(sessions) as session:
        await session.execute(delete(Operation).where(Operation.id == operation_id))
    assert await passes.after(1) == 0  # seen without its row for the first time again
    assert await runs(temporal_env, workflow_id)


async def test_environments_and_deliveries_without_a_row_are_ended_too(
    *, temporal_env: WorkflowEnvironment, rows: Rows, begin: Begin, passes: Passes
) -> None:
    there, gone, order = await rows.environment(), new_id(), webhook_order()
    for environment_id in (there, gone):
        state = EnvironmentState(environment_id=environment_id)
        await begin(WorkflowName.ENVIRONMENT, environment_workflow_id(environment_id), state)
    delivery = await begin(WorkflowName.WEBHOOK_DELIVERY, webhook_delivery_workflow_id(order.delivery_id), order)
    await passes.after(0)
    assert await passes.after(GRACE_S) == 2
    assert await runs(temporal_env, environment_workflow_id(there))
    assert not await runs(temporal_env, environment_workflow_id(gone))
    assert not await runs(temporal_env, delivery)


async def test_what_is_open_is_listed_page_by_page(
    *, rows: Rows, begin: Begin, passes: Passes, operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestration.operations.PAGE", 3)
    kept = await rows.operation("in_progress")
    mine = (kept, *(new_id() for _ in range(7)))
    ids = {await begin(WorkflowName.DEPLOY, bare_workflow_id(each), deploy()) for each in mine}
    pages = [page async for page in operations.open_workflows(OPERATION_WORKFLOWS)]
    assert ids <= {one for page in pages for one in page}
    assert max(map(len, pages)) == 3
    await passes.after(0)
    assert await passes.after(GRACE_S) == 7


async def test_without_an_answer_of_temporal_nothing_is_ended(sessions: Sessions, rows: Rows, free_port) -> None:
    away = Operations(Settings(temporal_address=f"127.0.0.1:{free_port()}"))
    operation_id = await rows.operation("in_progress")
    for reconciler in (OrphanedWorkflows(sessions, away), OrphanedOperations(sessions, away)):
        with pytest.raises(DependencyError):
            await reconciler.reconcile()
    assert await rows.status(operation_id) == "in_progress"


async def test_a_row_whose_workflow_is_gone_is_ended_as_lost(
    sessions: Sessions, rows: Rows, operations: Operations, begin: Begin
) -> None:
    lost, going_on = await rows.operation("in_progress"), await rows.operation("in_progress")
    await begin(WorkflowName.DEPLOY, bare_workflow_id(going_on), deploy())
    with structlog.testing.capture_logs() as logs:
        await OrphanedOperations(sessions, operations).reconcile()
    told = [line["operation_id"] for line in logs if line["event"] == "operation.lost"]
    assert str(lost) in told
    assert str(going_on) not in told
    assert (await rows.status(lost), await rows.status(going_on)) == ("failed", "in_progress")


class EndingMeanwhile(Operations):
    """Between the reading of a row and the question to Temporal the operation comes to its good end."""

    sessions: Sessions
    status = "completed"

    async def is_running(self, workflow_id: str) -> bool:
        async with transaction(self.sessions) as session:
            values = {"status": self.status, "version": Operation.version + 1, "updated_at": now()}
            await session.execute(update(Operation).where(Operation.workflow_id == workflow_id).values(**values))
        return await super().is_running(workflow_id)


@pytest.mark.parametrize("status", ["completed", "in_progress"])
async def test_an_operation_that_moved_on_meanwhile_is_not_ended_as_lost(
    sessions: Sessions, rows: Rows, temporal_env: WorkflowEnvironment, status: str
) -> None:
    client = temporal_env.client
    address = client.service_client.config.target_host
    operations = EndingMeanwhile(Settings(temporal_address=address, temporal_namespace=client.namespace))
    operations.sessions, operations.status = sessions, status
    operation_id = await rows.operation("in_progress")
    with structlog.testing.capture_logs() as logs:
        assert await OrphanedOperations(sessions, operations).reconcile() == 0
    assert [line for line in logs if line["event"] == "operation.lost"] == []
    assert await rows.status(operation_id) == status


class Telling(Operations):
    """Its workflows tell what they know, by operation; of others nobody can tell."""

    told: dict[str, Standing]

    async def standing(self, workflow_id: str) -> Standing | None:
        return self.told.get(workflow_id)


@pytest.mark.parametrize(
    ("standing", "status"),
    [
        (Standing(known=4, recorded=4), "failed"),  # Temporal was restored: it knows less than its row
        (Standing(known=9, recorded=7), "failed"),  # PostgreSQL was restored: what it recorded is not there
        (Standing(known=6, recorded=6), "in_progress"),
        (Standing(known=9, recorded=5), "in_progress"),  # its last records did not come through
        (None, "in_progress"),
    ],
)
async def test_one_whose_workflow_knows_another_past_is_ended(
    *,
    sessions: Sessions,
    rows: Rows,
    begin: Begin,
    temporal_env: WorkflowEnvironment,
    standing: Standing | None,
    status: str,
) -> None:
    client = temporal_env.client
    address = client.service_client.config.target_host
    operations = Telling(Settings(temporal_address=address, temporal_namespace=client.namespace))
    operation_id = await rows.operation("in_progress")
    operations.told = {str(operation_id): standing} if standing else {}
    async with transaction(sessions) as session:
        await session.execute(update(Operation).where(Operation.id == operation_id).values(version=6))
        await session.execute(
            update(Operation).where(Operation.id == operation_id).values(updated_at=now() - timedelta(minutes=1))
        )
    await begin(WorkflowName.DEPLOY, bare_workflow_id(operation_id), deploy())
    seconds = 0.0
    sweep = OrphanedOperations(sessions, operations, clock=lambda: seconds)
    await sweep.reconcile()
    seconds = DISAGREE_S - 1  # it may be on its way
    await sweep.reconcile()
    assert await rows.status(operation_id) == "in_progress"
    seconds = DISAGREE_S
    await sweep.reconcile()
    assert await rows.status(operation_id) == status
