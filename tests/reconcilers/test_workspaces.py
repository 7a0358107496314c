"""Workspaces of workflows that are no more: folder and build slot are free again."""

from uuid import UUID

from activities.build_slots import BuildSlots
from activities.workspaces import BuildFolders
from reconcilers.workspaces import OrphanedWorkspaces
from runtime.ids import new_id


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
