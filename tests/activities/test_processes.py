"""Process types beside the service, on real processes and a real database: kept alive, out of traffic, judged alive."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, select, update
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.instances import InstanceStopper
from activities.processes import ProcessActivities
from activities.recovery import InstanceRecovery
from activities.routing import RouteWriter
from activities.secrets import ProjectSecrets
from contracts.rollouts import StartProcesses, StopProcesses
from domain.delivery_spec import ProcessSpec
from drivers.artifacts.folder import FolderArtifactStore
from drivers.shim import client
from drivers.targets.base import InstancePhase
from drivers.targets.process import ProcessTarget
from storage.engine import Sessions, transaction
from storage.models import Instance, Release
from storage.repositories.health import HealthRepository
from storage.repositories.routing import RoutingRepository
from tests.activities.conftest import MakeHistory
from tests.activities.test_recovery import Router
from tests.activities.test_secrets import SEALER, planted_secret
from tests.drivers.shim.helpers import marker, running, until
from tests.support.reconciling import InstanceReconcilers


@dataclass
class Scene:
    """A release that is on its way up, whose web instance has a row and is in rotation."""

    sessions: Sessions
    target: ProcessTarget
    root: Path
    reconcilers: InstanceReconcilers
    processes: ProcessActivities
    stopper: InstanceStopper
    release_id: UUID

    async def given(self, *, state: str = "starting", **types: ProcessSpec) -> None:
        stored = {name: each.model_dump(mode="json") for name, each in types.items()}
        async with transaction(self.sessions) as session:
            row = await session.get_one(Release, self.release_id)
            row.processes, row.state = stored, state

    async def move(self, state: str) -> None:
        async with transaction(self.sessions) as session:
            (await session.get_one(Release, self.release_id)).state = state

    async def start(self, *, judged: bool = True) -> None:
        request = StartProcesses(release_id=self.release_id, judged=judged)
        await ActivityEnvironment().run(self.processes.start, request)

    async def failure(self) -> ApplicationError:
        with pytest.raises(ApplicationError) as caught:
            await self.start()
        return caught.value

    async def stop(self) -> None:
        await ActivityEnvironment().run(self.processes.stop, StopProcesses(release_id=self.release_id))

    async def rows(self) -> Sequence[Instance]:
        async with transaction(self.sessions) as session:
            mine = (Instance.type != "web", Instance.release_id == self.release_id)
            return (await session.scalars(select(Instance).where(*mine).order_by(Instance.id))).all()

    async def names(self) -> list[str]:
        """What runs at the target."""
        return sorted(
            each.instance_id.removeprefix(f"{self.release_id}-") for each in await self.target.list_instances()
        )

    def kill_shim(self, name: str) -> None:
        """As a power cut does."""
        pid = client.status(self.root / f"{self.release_id}-{name}" / "shim").shim_pid
        assert pid
        os.kill(pid, signal.SIGKILL)

    async def gone(self, name: str) -> None:
        async with asyncio.timeout(60):
            while not (await self.target.inspect(f"{self.release_id}-{name}")).gone:  # noqa: ASYNC110 - polled
                await asyncio.sleep(0.05)
        await client.end_leftovers(self.root / f"{self.release_id}-{name}" / "shim")


@pytest.fixture
async def scene(history: MakeHistory, sessions: Sessions, tmp_path: Path) -> AsyncIterator[Scene]:
    found = await history(1)
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "worker.sh").write_text('echo "$MODE $DATABASE_URL $DELIVERY_RELEASE ${PORT-no port}"; exec sleep "$1"\n')
    store = FolderArtifactStore(tmp_path / "artifacts")
    digest = (await store.store(tree)).digest
    secret = planted_secret(found)
    service = {"command": "serve", "env": {"MODE": "new"}, "stop_timeout": 1, "drain_timeout": 0}
    references = [{"name": secret.name, "id": str(secret.id), "version": 1}]
    release_id = found.releases[0]
    async with transaction(sessions) as session:
        session.add(secret)
        await session.execute(update(Release).values(artifact_digest=digest, service=service, secrets=references))
        where = {"release_id": release_id, "address": "127.0.0.1", "port": 9, "in_rotation": True}
        session.add(Instance(id=f"{release_id}-0", index=0, **where))
    target, router = ProcessTarget(tmp_path / "instances", store, trusted_code=True), Router()
    secrets, writer = ProjectSecrets(sessions, SEALER), RouteWriter(sessions, router)
    recovery = InstanceRecovery(sessions=sessions, secrets=secrets, target=target, writer=writer)
    stopper = InstanceStopper(sessions, target, router, writer)
    reconcilers = InstanceReconcilers(
        sessions=sessions, target=target, stopper=stopper, writer=writer, recovery=recovery
    )
    processes = ProcessActivities(sessions=sessions, secrets=secrets, target=target, recovery=recovery)
    yield Scene(sessions, target, tmp_path / "instances", reconcilers, processes, stopper, release_id)
    await reconcilers.close()
    async with transaction(sessions) as session:  # reconcilers of other tests have nothing to do with it
        await session.execute(delete(Instance).where(Instance.release_id == release_id))
    for status in await target.list_instances():
        await target.stop(status.instance_id)


def stays(mark: str, count: int = 1, **more: Any) -> ProcessSpec:
    return ProcessSpec(command=f"sh worker.sh {mark}", count=count, min_uptime=0.3, **more)


async def test_release_phase_ignored_worker(scene: Scene) -> None:
    """`cases/release-phase-ignored`: they run as the service does, beside it, without port and traffic."""
    mark, clock = marker(), marker()
    await scene.given(worker=stays(mark, 2), clock=stays(clock))
    began = time.monotonic()
    await scene.start()
    assert time.monotonic() - began >= 0.3
    await until(lambda: (len(running(mark)), len(running(clock))) == (2, 1), "they have come to their sleep")
    assert await scene.names() == ["clock-0", "worker-0", "worker-1"]
    log = await scene.target.log_tail(f"{scene.release_id}-worker-0")
    assert log == f"new db://p1anted {scene.release_id} no port\n"
    assert [(row.type, row.index, row.port, row.in_rotation) for row in await scene.rows()] == [
        ("clock", 0, 0, False),
        ("worker", 0, 0, False),
        ("worker", 1, 0, False),
    ]
    async with transaction(scene.sessions) as session:
        snapshot = await RoutingRepository(session).table()
        [release] = [each for each in snapshot.clusters if each.release_id == str(scene.release_id)]
        assert [endpoint.port for endpoint in release.endpoints] == [9]
        [live] = [each for each in await HealthRepository(session).live() if each.release_id == scene.release_id]
        assert live.places == {("127.0.0.1", 9)}
    await scene.start()  # again: the same ones
    assert len(running(mark)) == 2


async def test_a_crash_loop_fails_with_the_types_name_and_the_end_of_its_log(scene: Scene) -> None:
    mark = marker()
    loops = ProcessSpec(command="echo no queue at $DATABASE_URL; exit 3", min_uptime=5)
    await scene.given(clock=stays(mark), worker=loops)
    failed = await scene.failure()
    assert (failed.type, failed.non_retryable) == ("INSTANCE_EXITED", True)
    assert "the process type `worker` ended by itself with exit code 3" in failed.message
    assert "no queue at ***" in failed.message
    facts = failed.details[0]
    assert (facts["process_type"], facts["exit_code"]) == ("worker", 3)
    assert "p1anted" not in repr(failed.details)
    # As the workflow does then: with the release all of them end.
    await scene.move("failed")
    await scene.stopper.stop(scene.release_id, keep=0)
    assert running(mark) == []
    assert await scene.rows() == []
    assert await scene.names() == []


async def test_what_ends_well_again_and_again_fails_with_what_to_do(scene: Scene) -> None:
    await scene.given(setup=ProcessSpec(command="true", min_uptime=5))
    assert "processes: {setup: {count: 0}}" in (await scene.failure()).message


async def test_a_limit_of_its_own_is_named(scene: Scene) -> None:
    greedy = "import time; x = [(bytearray(4 * 2**20), time.sleep(0.05)) for _ in range(400)]"
    await scene.given(worker=ProcessSpec(command=f"exec python3 -c '{greedy}'", memory_mb=48, min_uptime=30))
    failed = await scene.failure()
    assert failed.type == "INSTANCE_MEMORY_LIMIT"
    assert "the process type `worker` used more memory" in failed.message


@pytest.mark.parametrize("state", ["starting", "active"])
async def test_one_that_died_with_its_shim_is_started_again(scene: Scene, state: str) -> None:
    mark = marker()
    await scene.given(worker=stays(mark))
    await scene.start()
    await scene.move(state)
    scene.kill_shim("worker-0")
    await scene.gone("worker-0")
    assert running(mark) == []
    await scene.reconcilers.reconcile()
    await until(lambda: len(running(mark)) == 1, "it is back")
    [pid] = running(mark)
    os.kill(pid, signal.SIGKILL)  # by itself: its shim starts it again
    await until(lambda: running(mark) not in ([], [pid]), "it is back")


async def test_all_that_died_together_are_back_after_one_look(scene: Scene) -> None:
    """They are brought back under the lock of their release, one after the other, and none gives way to another."""
    mark, clock = marker(), marker()
    await scene.given(state="active", worker=stays(mark, 3), clock=stays(clock))
    await scene.start()
    await scene.target.pause()  # as the machine's end does
    assert running(mark) + running(clock) == []
    await scene.reconcilers.reconcile()
    await until(lambda: (len(running(mark)), len(running(clock))) == (3, 1), "they are back")


async def test_killed_while_it_is_judged_it_is_started_again_and_that_is_not_its_fault(scene: Scene) -> None:
    mark = marker()
    await scene.given(worker=ProcessSpec(command=f"sleep {mark}", min_uptime=2))
    judged = asyncio.create_task(scene.start())
    await until(lambda: running(mark), "it runs")
    scene.kill_shim("worker-0")
    await judged
    await until(lambda: len(running(mark)) == 1, "it is back")
    assert await scene.names() == ["worker-0"]


async def test_while_its_release_is_kept_they_rest_and_whoever_takes_it_back_has_them_again(scene: Scene) -> None:
    mark = marker()
    await scene.given(state="active", worker=stays(mark))
    await scene.start()
    await until(lambda: len(running(mark)) == 1, "it runs")
    await scene.stop()  # not of one that serves
    assert len(running(mark)) == 1
    await scene.move("retired")
    await scene.stop()
    assert running(mark) == []
    await scene.reconcilers.reconcile()
    assert running(mark) == []
    await scene.move("active")
    await scene.start(judged=False)
    await until(lambda: len(running(mark)) == 1, "it is back")


async def test_the_reconciler_ends_and_starts_what_a_lost_workflow_did_not(scene: Scene) -> None:
    mark = marker()
    await scene.given(state="active", worker=stays(mark))
    await scene.start()
    await scene.move("retired")
    async with asyncio.timeout(60):
        while running(mark):
            await scene.reconcilers.reconcile()
    assert len(await scene.rows()) == 1
    await scene.move("active")
    await scene.reconcilers.reconcile()
    await until(lambda: len(running(mark)) == 1, "it is back")


async def test_it_never_starts_after_its_release_was_stopped(scene: Scene) -> None:
    mark = marker()
    await scene.given(state="stopped", worker=stays(mark))
    assert (await scene.failure()).type == "INVALID_STATE"
    assert running(mark) == []
    assert await scene.rows() == []


async def test_one_that_leaked_is_ended(scene: Scene) -> None:
    mark = marker()
    await scene.given(worker=stays(mark))
    await scene.start()
    async with transaction(scene.sessions) as session:
        await session.delete(await session.get_one(Instance, f"{scene.release_id}-worker-0"))
    await scene.move("failed")
    async with asyncio.timeout(60):
        while running(mark):
            await scene.reconcilers.reconcile()
    assert (await scene.target.inspect(f"{scene.release_id}-worker-0")).phase is InstancePhase.ABSENT
