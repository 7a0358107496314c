"""Instances by plan, on real processes and a real database: brought back, kept off strangers' ports, never undone."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import structlog
from sqlalchemy import select, update
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.instance_room import InstanceRoom
from activities.instances import InstanceActivities, InstanceStopper
from activities.pauses import FIRST_S, LONGEST_S, Pauses
from activities.probes import Prober
from activities.recovery import InstanceRecovery
from activities.routing import RouteWriter
from activities.secrets import ProjectSecrets
from contracts.rollouts import AwaitHealthy, StartInstances
from domain.ceilings import DEFAULT_CEILING
from domain.routing import RoutingTable
from domain.shares import Share
from drivers import sandbox
from drivers.artifacts.folder import FolderArtifactStore
from drivers.shim import client
from drivers.targets.base import InstancePhase, InstanceStatus
from drivers.targets.process import ProcessTarget
from runtime.encryption import KEY_BYTES, Sealer
from runtime.ids import now
from storage.engine import Sessions, transaction
from storage.models import AuditEntry, Event, Instance, Operation, Release
from tests.activities.conftest import History
from tests.drivers.targets.service import SERVICE
from tests.support.reconciling import InstanceReconcilers

HEALTH = {"path": "/", "interval": 0.05, "startup_timeout": 20}


@dataclass
class Router:
    """Remembers the tables it was given; every endpoint is healthy."""

    tables: list[RoutingTable] = field(default_factory=list)

    async def mark(self) -> None:
        """Nobody else writes."""

    async def apply(self, table: RoutingTable, **_: object) -> tuple[()]:
        self.tables.append(table)
        return ()

    async def endpoint_health(self, _release_id: str) -> list[Any]:
        return []

    def ports(self, release_id: UUID) -> list[list[int]]:
        """Where each table sent a release's requests."""
        clusters = [c for table in self.tables for c in table.clusters if c.release_id == str(release_id)]
        return [[endpoint.port for endpoint in cluster.endpoints] for cluster in clusters]


class SlowStore(FolderArtifactStore):
    """Unpacking takes as long as somebody wants."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.unpacking = asyncio.Event()

    async def unpack(self, digest: str, into: Path) -> None:
        self.unpacking.set()
        await self.may_go_on.wait()
        await super().unpack(digest, into)

    async def reached(self) -> None:
        """Until somebody unpacks."""
        async with asyncio.timeout(120):
            await self.unpacking.wait()


def connections(sessions: Sessions) -> int:
    """How many are held now."""
    held: int = sessions.kw["bind"].sync_engine.pool.checkedout()
    return held


@dataclass
class Scene:
    """An environment whose newest release runs on a real target."""

    sessions: Sessions
    target: ProcessTarget
    root: Path
    router: Router
    recovery: InstanceRecovery
    reconcilers: InstanceReconcilers
    instances: InstanceActivities
    found: History
    store: SlowStore

    @property
    def release_id(self) -> UUID:
        return self.found.releases[-1]

    @property
    def name(self) -> str:
        return f"{self.release_id}-0"

    async def begin(self, state: str, *, command: str = "python3 service.py") -> InstanceStatus:
        """Its release is in this state, and its instance runs."""
        service = {"command": command, "health": HEALTH, "stop_timeout": 1, "drain_timeout": 0}
        async with transaction(self.sessions) as session:
            row = await session.get_one(Release, self.release_id)
            row.service, row.state = service, state
        await ActivityEnvironment().run(self.instances.start, StartInstances(release_id=self.release_id, count=1))
        return await self.target.inspect(self.name)

    async def await_healthy(self) -> None:
        await ActivityEnvironment().run(self.instances.await_healthy, AwaitHealthy(release_id=self.release_id, count=1))

    def kill_shim(self) -> None:
        """As a power cut does."""
        pid = client.status(self.root / self.name / "shim").shim_pid
        assert pid
        os.kill(pid, signal.SIGKILL)

    async def seen(self, wanted: Callable[[InstanceStatus], bool]) -> InstanceStatus:
        async with asyncio.timeout(120):
            while not wanted(status := await self.target.inspect(self.name)):  # noqa: ASYNC110 - polled
                await asyncio.sleep(0.05)
        return status

    async def gone(self) -> None:
        await self.seen(lambda status: status.gone)
        await client.end_leftovers(self.root / self.name / "shim")

    async def unpacking(self) -> asyncio.Task[InstanceStatus | None]:
        """It died, and whoever brings it back unpacks its artifact, until `store.may_go_on`."""
        await self.begin("active")
        self.kill_shim()
        await self.gone()
        self.store.may_go_on.clear()
        self.store.unpacking.clear()
        recovering = asyncio.create_task(self.recovery.recover(self.name))
        await self.store.reached()
        return recovering

    async def row(self) -> Instance | None:
        async with transaction(self.sessions) as session:
            return await session.get(Instance, self.name)

    async def finish_operations(self) -> None:
        async with transaction(self.sessions) as session:
            await session.execute(update(Operation).values(status="completed"))


@pytest.fixture
async def scene(history, sessions: Sessions, tmp_path: Path) -> AsyncIterator[Scene]:
    async with _scene(await history(2), sessions, tmp_path, trusted=True) as made:
        yield made


@pytest.fixture
async def alone(history, sessions: Sessions, tmp_path: Path) -> AsyncIterator[Scene]:
    """One whose instances have networks of their own."""
    if not sandbox.available():
        pytest.skip("bubblewrap does not work on this machine")
    async with _scene(await history(2), sessions, tmp_path, trusted=False) as made:
        yield made


@contextlib.asynccontextmanager
async def _scene(found: History, sessions: Sessions, tmp_path: Path, *, trusted: bool) -> AsyncIterator[Scene]:
    router = Router()
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "service.py").write_text(SERVICE)
    store = SlowStore(tmp_path / "artifacts")
    digest = (await store.store(tree)).digest
    async with transaction(sessions) as session:
        await session.execute(update(Release).values(artifact_digest=digest))
    doors = Path(tempfile.mkdtemp(prefix="doors-")) / "services"
    target = ProcessTarget(tmp_path / "instances", store, trusted_code=trusted, sockets=doors)
    secrets, writer = ProjectSecrets(sessions, Sealer([b"k" * KEY_BYTES])), RouteWriter(sessions, router)
    recovery = InstanceRecovery(sessions=sessions, secrets=secrets, target=target, writer=writer)
    stopper = InstanceStopper(sessions, target, router, writer)
    prober = Prober("127.0.0.1", 9)
    instances = InstanceActivities(
        sessions=sessions,
        secrets=secrets,
        target=target,
        prober=prober,
        stopper=stopper,
        recovery=recovery,
        room=InstanceRoom(Share(10, 10_240, 102_400), DEFAULT_CEILING),
    )
    reconcilers = InstanceReconcilers(
        sessions=sessions, target=target, stopper=stopper, writer=writer, recovery=recovery
    )
    yield Scene(sessions, target, tmp_path / "instances", router, recovery, reconcilers, instances, found, store)
    store.may_go_on.set()
    for status in await target.list_instances():
        await target.stop(status.instance_id)
    await prober.close()
    shutil.rmtree(doors.parent)


@pytest.mark.parametrize("state", ["starting", "active", "retired"])
async def test_what_is_there_by_plan_is_brought_back(scene: Scene, state: str) -> None:
    before = await scene.begin(state)
    scene.kill_shim()
    await scene.gone()
    await scene.reconcilers.reconcile()
    after = await scene.seen(lambda status: status.listening)
    assert (after.phase, after.port) == (InstancePhase.RUNNING, before.port)


@pytest.mark.parametrize("state", ["failed", "stopped"])
async def test_the_reconciler_does_not_undo_an_abort(scene: Scene, state: str) -> None:
    """It was decided in the record; the workflow that stops the instances comes a moment later."""
    await scene.begin("starting")
    async with transaction(scene.sessions) as session:
        (await session.get_one(Release, scene.release_id)).state = state
    scene.kill_shim()
    await scene.gone()
    await scene.reconcilers.reconcile()
    assert (await scene.target.inspect(scene.name)).gone


async def test_what_nobody_carries_on_any_more_is_not_brought_back_but_undone(scene: Scene) -> None:
    await scene.begin("starting")
    scene.kill_shim()
    await scene.gone()
    await scene.finish_operations()
    await scene.reconcilers.reconcile()
    assert (await scene.target.inspect(scene.name)).phase is InstancePhase.ABSENT
    assert await scene.row() is None


async def test_an_instance_whose_row_went_is_not_brought_back(scene: Scene) -> None:
    """It was drained and stopped (a rolling update takes the old ones away) since the pass read what should run."""
    await scene.begin("active")
    async with transaction(scene.sessions) as session:
        await session.delete(await session.get_one(Instance, scene.name))
    scene.kill_shim()
    await scene.gone()
    assert await scene.recovery.recover(scene.name) is None
    assert (await scene.target.inspect(scene.name)).gone


async def test_no_connection_is_held_while_an_artifact_is_unpacked(scene: Scene) -> None:
    """Sixteen at once would be all there are, for whatever anybody else wants."""
    recovering = await scene.unpacking()
    assert connections(scene.sessions) == 0
    scene.store.may_go_on.set()
    after = await recovering
    assert after is not None
    assert not after.gone


async def test_what_was_stopped_while_it_was_unpacked_does_not_begin(scene: Scene) -> None:
    recovering = await scene.unpacking()
    async with transaction(scene.sessions) as session:
        (await session.get_one(Release, scene.release_id)).state = "stopped"
    scene.store.may_go_on.set()
    assert await recovering is None
    assert (await scene.target.inspect(scene.name)).gone


async def test_two_that_find_a_stranger_at_the_same_moment_move_the_instance_once(scene: Scene) -> None:
    before = await scene.begin("active", command="sleep 1000")
    with socket.create_server(("127.0.0.1", before.port)):
        await scene.seen(lambda status: status.port_taken)
        found = await asyncio.gather(*(scene.recovery.recover(scene.name) for _ in range(3)))
        await scene.reconcilers.reconcile()  # one that gave way may have taken the new address out, too
        after = await scene.target.inspect(scene.name)
    assert {status.port for status in found if status is not None} == {after.port}
    row = await scene.row()
    assert row is not None
    assert row.port == after.port != before.port
    assert len((await reported(scene))[0]) == 1


async def test_a_step_that_finds_its_instances_gone_starts_them_again(scene: Scene) -> None:
    await scene.begin("starting")
    scene.kill_shim()
    await scene.gone()
    await scene.await_healthy()
    row = await scene.row()
    assert row is not None
    assert row.in_rotation


async def test_a_version_that_ends_its_own_shim_is_given_up(scene: Scene) -> None:
    await scene.begin("starting", command="sleep 0.1; kill -9 $PPID; sleep 60")
    with pytest.raises(ApplicationError) as caught:
        await scene.await_healthy()
    assert caught.value.type == "INSTANCE_EXITED"


async def test_an_instance_that_came_back_is_no_evidence_against_its_version(scene: Scene) -> None:
    await scene.begin("starting")
    await scene.await_healthy()
    assert not await scene.recovery.coming_back([scene.release_id])
    async with transaction(scene.sessions) as session:  # it was started some time ago
        (await session.get_one(Instance, scene.name)).created_at = now() - timedelta(minutes=5)
    scene.kill_shim()
    await scene.gone()
    assert await scene.recovery.coming_back([scene.release_id])
    await scene.seen(lambda status: status.listening)
    assert await scene.recovery.coming_back([scene.release_id])


async def test_a_crash_by_itself_is_evidence(scene: Scene) -> None:
    await scene.begin("starting", command="exit 3")
    await scene.seen(lambda status: status.restarts >= 3)
    async with transaction(scene.sessions) as session:
        (await session.get_one(Instance, scene.name)).created_at = now() - timedelta(minutes=5)
    assert not await scene.recovery.coming_back([scene.release_id])


async def test_starting_what_was_stopped_meanwhile_leaves_nothing(scene: Scene) -> None:
    """A worker that slept between two lines wakes up in another world."""
    await scene.begin("starting")
    async with transaction(scene.sessions) as session:
        (await session.get_one(Release, scene.release_id)).state = "failed"
        await session.delete(await session.get_one(Instance, scene.name))
    with pytest.raises(ApplicationError, match="stopped meanwhile"):
        await ActivityEnvironment().run(scene.instances.start, StartInstances(release_id=scene.release_id, count=1))
    assert (await scene.target.inspect(scene.name)).phase is InstancePhase.ABSENT
    assert await scene.row() is None


async def test_what_its_own_activity_stopped_meanwhile_is_not_logged_as_leaked(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reconciler listed it, then the activity that drained it came to its end."""
    await scene.begin("starting")
    listed = await scene.target.list_instances()
    await scene.target.stop(scene.name)
    async with transaction(scene.sessions) as session:
        (await session.get_one(Release, scene.release_id)).state = "failed"
        await session.delete(await session.get_one(Instance, scene.name))

    async def earlier() -> Sequence[InstanceStatus]:
        return listed

    monkeypatch.setattr(scene.target, "list_instances", earlier)
    with structlog.testing.capture_logs() as logs:
        await scene.reconcilers.surplus.reconcile()
    assert [line for line in logs if line["event"] == "instance.leaked"] == []


async def reported(scene: Scene) -> tuple[list[dict[str, Any]], list[AuditEntry]]:
    async with transaction(scene.sessions) as session:
        where = Event.resource_id == scene.found.environment_id
        events = await session.scalars(select(Event).where(where, Event.type == "instance.displaced"))
        mine = AuditEntry.resource_id == scene.found.environment_id
        entries = await session.scalars(select(AuditEntry).where(mine, AuditEntry.action == "instance.displaced"))
        return [event.payload for event in events], list(entries)


async def test_a_strangers_port_gets_no_more_traffic_and_the_instance_another_one(scene: Scene) -> None:
    before = await scene.begin("active")
    await scene.await_healthy()
    scene.kill_shim()
    await scene.gone()
    scene.router.tables.clear()
    with socket.create_server(("127.0.0.1", before.port)):
        await scene.reconcilers.reconcile()
        after = await scene.seen(lambda status: status.listening)
        async with asyncio.timeout(120):
            while scene.router.ports(scene.release_id)[-1:] != [[after.port]]:  # noqa: ASYNC110 - polled
                await asyncio.sleep(0.05)
        # First nobody is sent there any more, then the new place is known.
        assert scene.router.ports(scene.release_id)[0] == []
        assert all(before.port not in ports for ports in scene.router.ports(scene.release_id))
        assert after.port != before.port
        row = await scene.row()
        assert row is not None
        assert (row.port, row.in_rotation) == (after.port, True)
        [payload], [entry] = await reported(scene)
        moved = payload["environment"]["displaced_instance"]
        assert (moved["instance_id"], moved["port_before"], moved["port"]) == (scene.name, before.port, after.port)
        assert entry.changes == {"port": {"from": before.port, "to": after.port}}
        await scene.reconcilers.reconcile()
        assert len((await reported(scene))[0]) == 1


async def test_doors_that_are_gone_are_made_anew_and_nobody_is_displaced(alone: Scene) -> None:
    """Somebody cleared the folder of temporary files."""
    before = await alone.begin("active")
    await alone.await_healthy()
    shutil.rmtree(Path(before.address).parent)
    assert (await alone.target.inspect(alone.name)).port_taken
    await alone.reconcilers.reconcile()
    after = await alone.seen(lambda status: status.listening)
    assert (after.address, after.port, after.port_taken) == (before.address, before.port, False)
    row = await alone.row()
    assert row is not None
    assert (row.address, row.port, row.in_rotation) == (before.address, before.port, True)
    assert await reported(alone) == ([], [])


async def test_a_service_alone_on_its_network_is_healthy_when_it_listens(alone: Scene) -> None:
    await alone.begin("starting", command="sleep 1; exec python3 service.py")
    await alone.await_healthy()
    row = await alone.row()
    assert row is not None
    assert row.in_rotation
    assert row.address.startswith("/")


async def test_who_moves_into_a_network_of_its_own_is_not_displaced(scene: Scene) -> None:
    """The operator has turned trusted code off."""
    before = await scene.begin("active")
    await scene.await_healthy()
    await scene.target.pause()
    target = ProcessTarget(scene.root, scene.target._artifacts, trusted_code=False, sockets=scene.target._doors.folder)
    for part in (scene.reconcilers.missing, scene.reconcilers.surplus, scene.recovery):
        part._target = target
    await scene.reconcilers.reconcile()
    after = await target.inspect(scene.name)
    row = await scene.row()
    assert row is not None
    assert (row.address, row.port) == (after.address, after.port) != (before.address, before.port)
    assert await reported(scene) == ([], [])


async def test_a_stranger_beside_a_running_instance_is_left(scene: Scene) -> None:
    """The service lives and does not listen (any more): its shim has nothing to start again."""
    before = await scene.begin("active", command="sleep 1000")
    with socket.create_server(("127.0.0.1", before.port)):
        await scene.reconcilers.reconcile()
        assert (await scene.target.inspect(scene.name)).port != before.port
    assert len((await reported(scene))[0]) == 1


async def test_who_died_between_leaving_an_address_and_telling_the_new_one_is_gone_on_with(scene: Scene) -> None:
    before = await scene.begin("active")
    await scene.await_healthy()
    async with transaction(scene.sessions) as session:
        (await session.get_one(Instance, scene.name)).port = 0
    await scene.reconcilers.reconcile()
    row = await scene.row()
    assert row is not None
    assert (row.port, row.in_rotation) == (before.port, True)
    assert (await reported(scene))[0] == []


def test_what_does_not_stay_is_started_again_ever_more_rarely() -> None:
    clock = [0.0]
    pauses = Pauses(lambda: clock[0])
    waits = []
    for _ in range(10):
        assert pauses.is_over("a")
        pauses.begin("a")
        began = clock[0]
        while not pauses.is_over("a"):
            clock[0] += 1
        waits.append(clock[0] - began)
    assert waits[0] == FIRST_S
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_S
    pauses.forget("a")
    assert pauses.is_over("a")
