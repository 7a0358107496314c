"""What every target must do, by its protocol alone. A test module subclasses this and gives a fixture `target`.

What only the process target promises (shims, ports held while a service is down, isolation) is in
`test_target_conformance.py`.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from domain.errors import ErrorCode, TerminalError
from drivers.artifacts.folder import FolderArtifactStore
from drivers.targets.base import InstancePhase, InstanceSpec, InstanceStatus, Target
from tests.drivers.targets.service import SERVICE, ask, dial


@pytest.fixture
def artifacts(tmp_path: Path) -> FolderArtifactStore:
    return FolderArtifactStore(tmp_path / "artifacts")


@pytest.fixture
async def digest(tmp_path: Path, artifacts: FolderArtifactStore) -> str:
    """Of a small web service."""
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "service.py").write_text(SERVICE)
    return (await artifacts.store(tree)).digest


def spec(digest: str, instance_id: str = "r1-0", **changes: Any) -> InstanceSpec:
    release = instance_id.split("-", maxsplit=1)[0]
    return InstanceSpec(instance_id, release, digest, **({"command": "python3 service.py"} | changes))


async def seen(target: Target, instance_id: str, condition: Callable[[InstanceStatus], bool]) -> InstanceStatus:
    """The first status that is so."""
    async with asyncio.timeout(120):
        while not condition(now := await target.inspect(instance_id)):  # noqa: ASYNC110 - polled
            await asyncio.sleep(0.03)
    return now


class TargetConformance:
    async def test_an_instance_serves_where_its_status_says(self, target: Target, digest: str) -> None:
        started = await target.start(spec(digest, env={"COLOUR": "blue"}, secrets={"TOKEN": "s"}))
        assert started.release_id == "r1"
        await seen(target, "r1-0", lambda now: now.phase is InstancePhase.RUNNING)
        status = await seen(target, "r1-0", lambda now: now.listening)
        environment = ask(status)["env"]
        assert (environment["COLOUR"], environment["TOKEN"]) == ("blue", "s")
        assert "serving" in await target.log_tail("r1-0")

    async def test_starting_twice_is_starting_once(self, target: Target, digest: str) -> None:
        first, again = await asyncio.gather(target.start(spec(digest)), target.start(spec(digest)))
        assert (first.address, first.port) == (again.address, again.port)
        await seen(target, "r1-0", lambda now: now.listening)
        assert (await target.start(spec(digest))).port == first.port
        assert len(await target.list_instances()) == 1

    async def test_a_stopped_instance_is_gone_and_may_be_stopped_again(self, target: Target, digest: str) -> None:
        await target.start(spec(digest))
        status = await seen(target, "r1-0", lambda now: now.listening)
        await target.stop("r1-0")
        with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
            dial(status)
        assert (await target.inspect("r1-0")).phase is InstancePhase.ABSENT
        assert await target.list_instances() == []
        await target.stop("r1-0")

    async def test_instances_have_places_of_their_own(self, target: Target, digest: str) -> None:
        started = [await target.start(spec(digest, name)) for name in ("r1-0", "r1-1", "r2-0")]
        assert len({(each.address, each.port) for each in started}) == 3
        listed = {each.instance_id: each.release_id for each in await target.list_instances()}
        assert listed == {"r1-0": "r1", "r1-1": "r1", "r2-0": "r2"}

    async def test_one_that_does_not_listen_has_no_port(self, target: Target, digest: str) -> None:
        status = await target.start(spec(digest, command="sleep 1000", listens=False))
        assert status.port == 0  # its shim answers before the process has begun
        await seen(target, "r1-0", lambda now: now.phase is InstancePhase.RUNNING)

    async def test_a_check_that_raises_keeps_an_instance_from_beginning(self, target: Target, digest: str) -> None:
        async def refuse() -> None:
            raise TerminalError("not any more", code=ErrorCode.CANCELLED)

        with pytest.raises(TerminalError, match="not any more"):
            await target.start(spec(digest), check=refuse)
        assert (await target.inspect("r1-0")).gone

    async def test_an_artifact_that_is_not_there_is_reported(self, target: Target) -> None:
        with pytest.raises(TerminalError) as caught:
            await target.start(spec("sha256:" + "0" * 64))
        assert caught.value.code is ErrorCode.ARTIFACT_UNAVAILABLE

    async def test_a_relocated_instance_has_another_port(self, target: Target, digest: str) -> None:
        before = await target.start(spec(digest))
        if before.address.startswith("/"):
            return  # it has a network of its own, where no stranger gets its port
        after = await target.relocate(spec(digest), port=before.port)
        assert after.port != before.port
        await seen(target, "r1-0", lambda now: now.listening)
        assert (await target.relocate(spec(digest), port=before.port)).port == after.port

    async def test_a_command_runs_once_and_tells_how_it_ended(self, target: Target, digest: str) -> None:
        order = spec(digest, "r1-release", command="echo migrated; exit 3", listens=False)
        await target.run_command(order, 600)
        async with asyncio.timeout(120):
            while not (ended := await target.command("r1-release")).ended:  # noqa: ASYNC110 - polled
                await asyncio.sleep(0.03)
        assert (ended.exit_code, ended.runs) == (3, 1)
        assert b"migrated" in await target.command_output("r1-release", 0)
        assert (await target.run_command(order, 600)).runs == 1
        await target.end_command("r1-release")
        await target.end_command("r1-release")
