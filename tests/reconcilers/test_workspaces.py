"""Workspaces of workflows that are no more: folder and build slot are free again."""

from uuid import UUID

from activities.build_slots import BuildSlots
from activities.workspaces import BuildFolders
from orchestration.operations import Operations
from reconcilers.orphaned_workflows import GRACE_S
from reconcilers.workspaces import OrphanedWorkspaces, RecordedWorkflows
from runtime.ids import new_id
from storage.engine import transaction
from storage.models import Deployment, Operation


async def test_a_lost_build_gives_its_slot_back(tmp_path):
    """The next build of its organization waited two minutes for a slot on which nothing was built."""
    folders, slots = BuildFolders(tmp_path), BuildSlots(2)
    lost, running, elsewhere = new_id(), new_id(), new_id()

    async def is_running(operation_id: UUID) -> bool:
        return operation_id == running

    folders.make(lost, "acme")
    await slots.take(lost, "acme")
    workspaces = OrphanedWorkspaces(folders, slots, is_running)
    assert await workspaces.reconcile() == 1
    assert (folders.operations(), slots.held) == ([], frozenset())
    folders.make(running, "acme")
    await slots.take(running, "acme")
    await slots.take(elsewhere, "other")  # its workspace was removed by another worker on this folder
    assert await workspaces.reconcile() == 1
    assert (folders.operations(), slots.held) == ([running], frozenset([running]))


class Asked(Operations):
    """Knows which workflows run, and notes which it was asked for."""

    def __init__(self, *running: str) -> None:
        self.running = running
        self.asked: list[str] = []

    async def is_running(self, workflow_id: str) -> bool:
        self.asked.append(workflow_id)
        return workflow_id in self.running


async def test_the_workflow_of_a_workspace_is_the_one_that_the_record_has(sessions, history):
    found = await history(2)
    async with transaction(sessions) as session:
        old, new = [(await session.get_one(Deployment, each)).operation_id for each in found.releases]
        (await session.get_one(Operation, new)).named_workflow_id = f"acme/shop/dev/1.0.0/{new}"
    operations = Asked(str(old), f"acme/shop/dev/1.0.0/{new}")
    workflows = RecordedWorkflows(sessions, operations)
    assert [await workflows.is_running(each) for each in (old, new)] == [True, True]
    assert operations.asked == list(operations.running)


async def test_without_a_record_a_workspace_stays_for_as_long_as_a_backup_is_restored(sessions):
    seconds, missing = 0.0, new_id()
    workflows = RecordedWorkflows(sessions, Asked(), clock=lambda: seconds)
    assert await workflows.is_running(missing)
    seconds = GRACE_S - 1
    assert await workflows.is_running(missing)
    seconds = GRACE_S
    assert not await workflows.is_running(missing)
