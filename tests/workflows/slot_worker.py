"""A build worker as a process of its own, to be killed: `python -m tests.workflows.slot_worker ADDRESS FOLDER SLOTS`.

Workspaces, slots and builds are the real ones; the source is scripted: each build tells that it began, and ends when
its gate is opened. The repository's address names it.
"""

import asyncio
import sys
from pathlib import Path

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from activities.artifacts import ArtifactActivities
from activities.build_slots import BuildSlots
from activities.builds import BuildActivities
from activities.test_reports import TestReports
from activities.workspaces import BuildFolders, WorkspaceActivities
from contracts.builds import FETCH_SOURCE, RUN_SCAN, FetchedSource, FetchSource, RunScan, ScanOutcome
from contracts.names import BUILD_QUEUE
from contracts.stubs import implements
from domain.delivery_spec import BuildSpec, DeliverySpec, ServiceSpec
from drivers.artifacts.folder import FolderArtifactStore
from drivers.builders.process import ProcessBuilder
from runtime.limited import LimitedProcesses
from worker import build_worker

STEP = "echo {name} >> {folder}/begun; touch built; until [ -e {folder}/gates/{name} ]; do sleep 0.05; done"


class ScriptedSource:
    """What is fetched waits for its gate."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @implements(FETCH_SOURCE)
    async def fetch(self, request: FetchSource) -> FetchedSource:
        name = request.repository_url.rsplit("/", 1)[-1]
        BuildFolders(self._folder).log(request.operation_id, "build").parent.mkdir(parents=True, exist_ok=True)
        step = STEP.format(name=name, folder=self._folder)
        spec = DeliverySpec(build=BuildSpec(driver="process", steps=(step,)), service=ServiceSpec(command="serve"))
        return FetchedSource(commit="c" * 40, branch="main", size_bytes=1, spec=spec)


class NoScanners:
    """What they find is kept in the database, which is not here."""

    @implements(RUN_SCAN)
    async def scan(self, _request: RunScan) -> ScanOutcome:
        return ScanOutcome(skipped="no scanners")


class AllRoom:
    """No database here: every organization has room."""

    async def check(self, organization: str) -> None:
        assert organization


async def main(address: str, folder: Path, total: int) -> None:
    client = await Client.connect(address, data_converter=pydantic_data_converter)
    folders, slots, queue = BuildFolders(folder), BuildSlots(total), f"{BUILD_QUEUE}-{folder}"
    workspaces = WorkspaceActivities(folders, queue, slots)
    activities = [
        workspaces.open,
        workspaces.close,
        ScriptedSource(folder).fetch,
        BuildActivities(lambda _: ProcessBuilder(), folders, slots, TestReports(folders, LimitedProcesses(()))).build,
        NoScanners().scan,
        ArtifactActivities(FolderArtifactStore(folder / "artifacts"), folders, slots, AllRoom()).package,
    ]
    async with build_worker(client, BUILD_QUEUE, activities, total), build_worker(client, queue, activities, total):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
