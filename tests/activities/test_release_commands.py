"""The release command's activity, on the real database and real processes."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update
from temporalio.activity import ActivityCancellationDetails
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.instance_room import InstanceRoom
from activities.instances import InstanceStopper
from activities.recovery import command_id
from activities.release_commands import MaskedLog, ReleaseCommandActivities
from activities.routing import RouteWriter
from activities.secrets import ProjectSecrets
from activities.workspaces import BuildFolders
from contracts.rollouts import ReleaseCommandOutcome, RunReleaseCommand
from domain.ceilings import DEFAULT_CEILING
from domain.shares import Share
from drivers.shim import client
from drivers.targets.process import ProcessTarget
from runtime.ids import new_id
from storage.engine import Sessions, transaction
from storage.models import Release
from tests.activities.conftest import MakeHistory
from tests.activities.test_recovery import Router, SlowStore, connections
from tests.activities.test_secrets import SEALER, planted_secret
from tests.drivers.shim.helpers import marker, running, until

# Of the organization: what the release below needs, and no more.
LIMIT = Share(1, 256, DEFAULT_CEILING.disk_mb)


@dataclass
class Scene:
    activities: ReleaseCommandActivities
    stopper: InstanceStopper
    target: ProcessTarget
    release_id: UUID
    root: Path
    folder: Path
    operation_id: UUID
    sessions: Sessions
    store: SlowStore

    def order(self, command: str, limit_s: float = 30) -> RunReleaseCommand:
        return RunReleaseCommand(
            operation_id=self.operation_id, release_id=self.release_id, command=command, timeout=limit_s
        )

    async def run(self, command: str, limit_s: float = 30) -> ReleaseCommandOutcome:
        return await ActivityEnvironment().run(self.activities.run, self.order(command, limit_s))

    async def failure(self, command: str, limit_s: float = 30) -> ApplicationError:
        with pytest.raises(ApplicationError) as caught:
            await self.run(command, limit_s)
        return caught.value

    @property
    def log(self) -> str:
        return (self.root / "logs" / "operations" / str(self.operation_id) / "release.log").read_text()

    @property
    def name(self) -> str:
        return command_id(self.release_id)


@pytest.fixture
async def scene(history: MakeHistory, sessions: Sessions, tmp_path: Path) -> AsyncIterator[Scene]:
    found = await history(1)
    tree, folder = tmp_path / "tree", tmp_path / "beside"
    tree.mkdir()
    folder.mkdir()
    (tree / "app.py").write_text("x")
    store = SlowStore(tmp_path / "artifacts")
    digest = (await store.store(tree)).digest
    secret = planted_secret(found)
    service = {"command": "serve", "env": {"MODE": "new"}, "memory_mb": 256}
    references = [{"name": secret.name, "id": str(secret.id), "version": 1}]
    async with transaction(sessions) as session:
        session.add(secret)
        await session.execute(
            update(Release).values(
                artifact_digest=digest, service=service, secrets=references, state="starting", was_healthy=False
            )
        )
    target = ProcessTarget(tmp_path / "instances", store, trusted_code=True)
    router = Router()
    stopper = InstanceStopper(sessions, target, router, RouteWriter(sessions, router))
    activities = ReleaseCommandActivities(
        sessions=sessions,
        secrets=ProjectSecrets(sessions, SEALER),
        target=target,
        folders=BuildFolders(tmp_path),
        room=InstanceRoom(LIMIT, DEFAULT_CEILING),
    )
    made = Scene(activities, stopper, target, found.releases[0], tmp_path, folder, new_id(), sessions, store)
    yield made
    await target.end_command(made.name)


async def test_release_phase_ignored(scene: Scene) -> None:
    """`cases/release-phase-ignored`: with environment, secrets and the artifact, and what it says can be read."""
    line = 'ls; echo "$MODE $DATABASE_URL $DELIVERY_RELEASE"; echo to stderr >&2'
    assert (await scene.run(line)).runs == 1
    assert scene.log == f"$ {line}\napp.py\nnew *** {scene.release_id}\nto stderr\n"
    files = [path for path in scene.root.rglob("*") if path.is_file()]
    assert not any(b"p1anted" in path.read_bytes() for path in files)


async def test_a_command_needs_the_room_of_an_instance(scene: Scene) -> None:
    async with transaction(scene.sessions) as session:
        service = {"command": "serve", "memory_mb": 257}
        await session.execute(update(Release).where(Release.id == scene.release_id).values(service=service))
    failure = await scene.failure(f"echo x >> '{scene.folder}/ran'")
    assert failure.type == "QUOTA_EXCEEDED"
    assert not (scene.folder / "ran").exists()


async def test_no_connection_is_held_while_its_artifact_is_unpacked(scene: Scene) -> None:
    """And a release that was stopped meanwhile has it not run any more."""
    scene.store.may_go_on.clear()
    running_ = asyncio.create_task(scene.failure(f"echo x >> '{scene.folder}/ran'"))
    await scene.store.reached()
    assert connections(scene.sessions) == 0
    async with transaction(scene.sessions) as session:
        (await session.get_one(Release, scene.release_id)).state = "failed"
    scene.store.may_go_on.set()
    assert "stopped meanwhile" in str(await running_)
    assert not (scene.folder / "ran").exists()
    assert not list((scene.root / "instances" / ".once").glob("*/"))


async def test_it_is_not_run_twice_however_often_the_activity_is(scene: Scene) -> None:
    line = f"echo once; echo x >> '{scene.folder}/ran'"
    await asyncio.gather(*(scene.run(line) for _ in range(3)))
    await scene.run(line)
    assert (scene.folder / "ran").read_text() == "x\n"
    assert scene.log.splitlines()[1:] == ["once"]


async def test_a_failure_tells_code_and_end_of_output_each_time_it_is_asked(scene: Scene) -> None:
    line = f"echo x >> '{scene.folder}/ran'; echo no table at $DATABASE_URL; exit 7"
    for _ in range(2):
        failed = await scene.failure(line)
        assert (failed.type, failed.non_retryable) == ("RELEASE_COMMAND_FAILED", True)
        assert "ended with exit code 7" in failed.message
        assert "no table at ***" in failed.message
        assert failed.details[0]["exit_code"] == 7
        assert "p1anted" not in repr(failed.details)
    assert (scene.folder / "ran").read_text() == "x\n"


GREEDY = "import time; x = [(bytearray(4 * 2**20), time.sleep(0.05)) for _ in range(400)]"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("sleep 100", "release.timeout"),
        # Bit by bit: what takes it all at once may be killed by the kernel before anybody has looked.
        (f"exec python3 -c '{GREEDY}'", "service.memory_mb"),
        ("./not-there", "ended with exit code 127"),
    ],
)
async def test_limits_and_words(scene: Scene, line: str, words: str) -> None:
    failed = await scene.failure(line, limit_s=1.5 if "sleep 100" in line else 30)
    assert failed.type == "RELEASE_COMMAND_FAILED"
    assert words in failed.message


async def test_a_worker_that_stops_leaves_it_to_the_next_and_one_that_is_cancelled_ends_it(scene: Scene) -> None:
    mark = marker()
    line = f"echo x >> '{scene.folder}/ran'; setsid sleep {mark} & sleep {mark}"

    async def cancelled(**how: bool) -> None:
        environment, begun = ActivityEnvironment(), asyncio.Event()
        environment.on_heartbeat = lambda *_: begun.set()
        task = asyncio.create_task(environment.run(scene.activities.run, scene.order(line)))
        await begun.wait()
        await until(lambda: len(running(mark)) == 2, "it runs")
        environment.cancel(ActivityCancellationDetails(**how))
        with pytest.raises(asyncio.CancelledError):
            await task

    await cancelled(worker_shutdown=True)
    assert len(running(mark)) == 2
    await cancelled(cancel_requested=True)
    assert running(mark) == []
    assert (scene.folder / "ran").read_text() == "x\n"


async def test_when_its_own_process_was_killed_it_is_run_again_after_the_rest_was_ended(scene: Scene) -> None:
    mark = marker()
    line = f"if mkdir '{scene.folder}/first'; then setsid sleep {mark} & sleep {mark}; fi; echo done"
    task = asyncio.create_task(scene.failure(line))
    await until(lambda: len(running(mark)) == 2, "it runs")
    shim = client.status(scene.root / "instances" / ".once" / scene.name / "shim").shim_pid
    assert shim is not None
    os.kill(shim, 9)
    killed = await task
    assert not killed.non_retryable
    assert (await scene.run(line)).runs == 2
    assert running(mark) == []
    assert scene.log.endswith("done\n")


async def test_whoever_stops_the_release_ends_its_command_and_it_never_begins_after_that(
    scene: Scene, sessions: Sessions
) -> None:
    mark = marker()
    task = asyncio.create_task(scene.failure(f"sleep {mark}"))
    await until(lambda: running(mark), "it runs")
    await scene.stopper.stop(scene.release_id, keep=0)
    assert running(mark) == []
    await task
    async with transaction(sessions) as session:
        await session.execute(update(Release).values(state="failed"))
    assert (await scene.failure(f"sleep {mark}")).type == "INVALID_STATE"
    assert running(mark) == []


def test_a_value_that_comes_in_two_pieces_is_masked_and_two_writers_write_the_same(tmp_path: Path) -> None:
    path, output = tmp_path / "l" / "release.log", b"a p1an" * 3 + b"p1anted b\np1an" + b"ted\xff"

    def write(size: int) -> Any:
        log = MaskedLog(path, ["p1anted"], "$ x")
        for at in range(0, len(output), size):
            log.write(output[at : at + size])
        log.write(b"", last=True)
        return path.read_text()

    first = write(5)
    assert "p1anted" not in first
    assert first.startswith("$ x\na p1an")
    assert first.endswith("*** b\n***\ufffd")
    assert write(1000) == first
