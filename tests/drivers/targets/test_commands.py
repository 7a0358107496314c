"""Commands that run once: the release phase."""

import asyncio
import os
import signal

from drivers.shim import client
from drivers.targets.base import MAX_RUNS, CommandStatus
from tests.drivers.shim.helpers import marker, running, until
from tests.drivers.targets.service import Service

NAME = "r1-release"


async def ended(service: Service, timeout_s: float = 20) -> CommandStatus:
    async with asyncio.timeout(timeout_s):
        while (now := await service.target.command(NAME)).running:  # noqa: ASYNC110 - polled
            await asyncio.sleep(0.03)
    return now


def state(service: Service):
    return service.root / ".once" / NAME / "shim"


async def test_it_runs_once_in_the_artifact_with_environment_and_secrets(service: Service) -> None:
    line = 'ls; echo "$A $B port=${PORT:-none}"; date +%N >> "$HOME/../ran" 2>/dev/null; exit 3'
    spec = service.spec(NAME, command=line, env={"A": "a", "B": "default"}, secrets={"B": "secret"})
    await service.target.run_command(spec, 20)
    first = await ended(service)
    assert (first.exit_code, first.reason, first.runs) == (3, "exited", 1)
    output = await service.target.command_output(NAME, 0)
    assert b"service.py\n" in output
    assert b"a secret port=none\n" in output
    assert await service.target.command_output(NAME, len(output)) == b""
    assert await service.target.run_command(spec, 20) == first
    assert await service.target.command_output(NAME, 0) == output
    await service.target.end_command(NAME, keep_end=True)
    assert await service.target.run_command(spec, 20) == first
    assert not (service.root / ".once" / NAME / "app").exists()
    await service.target.end_command(NAME)
    assert list((service.root / ".once").iterdir()) == []
    assert await service.target.list_instances() == []


async def test_one_that_runs_is_not_begun_again(service: Service) -> None:
    spec = service.spec(NAME, command="echo begun; sleep 1; echo over")
    await asyncio.gather(*(service.target.run_command(spec, 20) for _ in range(3)))
    assert (await ended(service)).runs == 1
    assert await service.target.command_output(NAME, 0) == b"begun\nover\n"


async def test_one_that_takes_too_long_is_ended(service: Service) -> None:
    await service.target.run_command(service.spec(NAME, command="sleep 100 & sleep 100"), 0.3)
    assert (await ended(service)).reason == "timeout"


async def test_what_a_killed_keeper_left_is_ended_before_it_is_run_again_but_not_for_ever(service: Service) -> None:
    mark = marker()
    spec = service.spec(NAME, command=f"setsid sleep {mark} & exec sleep {mark}")
    for run in range(1, MAX_RUNS + 1):
        status = await service.target.run_command(spec, 60)
        assert (status.running, status.runs) == (True, run)
        await until(lambda: len(running(mark)) == 2, "two of this run, none of the one before")
        shim = client.status(state(service)).shim_pid
        assert shim is not None
        os.kill(shim, signal.SIGKILL)
        assert not (await ended(service)).ended
    status = await service.target.run_command(spec, 60)
    assert (status.running, status.ended, status.runs) == (False, False, MAX_RUNS)
    await service.target.end_command(NAME)
    assert running(mark) == []


async def test_ended_with_its_whole_tree_and_by_a_stop_of_the_stack_it_is_run_again(service: Service) -> None:
    mark = marker()
    spec = service.spec(NAME, command=f"setsid sleep {mark} & exec sleep {mark}")
    await service.target.run_command(spec, 60)
    assert await service.target.pause() == 1
    assert not (await service.target.command(NAME)).ended
    assert running(mark) == []
    assert (await service.target.run_command(spec, 60)).runs == 2
    await until(lambda: len(running(mark)) == 2, "it runs")
    await service.target.end_command(NAME)
    assert running(mark) == []
