"""Processes with limits: what they end, what they tell, and that nobody waits for somebody else's."""

import asyncio
import contextlib
import gc

import psutil
import pytest

from domain.errors import DependencyError, ErrorCode, TerminalError
from runtime.limited import CostLimitError, CostLimits, LimitedProcesses
from tests.support import costly
from tests.support.waiting import until

SMALL = CostLimits(cpu_s=1, wall_s=60, memory_mb=64)
SHORT = CostLimits(cpu_s=60, wall_s=0.5, memory_mb=64)


@pytest.fixture
async def limited():
    yield LimitedProcesses(("tests.support.costly",))
    gc.collect()


async def test_a_call_gives_the_result_and_the_errors_of_the_function(limited):
    assert await limited.call(costly.length, "ä" * 2_000_000, limits=SMALL) == 2_000_000
    with pytest.raises(TerminalError, match="no mercy") as caught:
        await limited.call(costly.refuse, "mercy", limits=SMALL)
    assert (caught.value.code, caught.value.details) == (ErrorCode.SPEC_INVALID, {"line": 3})
    with pytest.raises(RuntimeError, match="fail ended with KeyError") as fault:
        await limited.call(costly.fail, limits=SMALL)
    assert "stranger" not in str(fault.value)


@pytest.mark.parametrize(
    ("function", "limits", "words"),
    [
        (costly.burn, SMALL, "more than 1 s of computing or 64 MiB"),
        (costly.ignore_signals, SMALL, "more than 1 s of computing or 64 MiB"),
        (costly.hoard, SMALL, "more than 1 s of computing or 64 MiB"),
        (costly.wait, SHORT, "60 s of computing"),
        (costly.flood, CostLimits(10, 60, 1024), "larger than 1 MiB"),
    ],
    ids=["computing", "stubborn", "memory", "time", "answer"],
)
async def test_what_costs_too_much_is_ended(limited, function, limits, words):
    with pytest.raises(CostLimitError, match=words):
        await limited.call(function, limits=limits)
    assert await limited.call(costly.length, "next", limits=SMALL) == 4


async def test_it_has_nothing_of_ours_and_writes_nothing(limited, tmp_path, monkeypatch):
    monkeypatch.setenv("DELIVERY_DATABASE_URL", "postgresql://u:secret@host/db")
    first, second = [await limited.call(costly.seen, limits=SMALL) for _ in range(2)]
    assert first["environment"] == "LC_ALL PATH"
    assert first["pid"] != second["pid"]
    with pytest.raises((CostLimitError, RuntimeError)):
        await limited.call(costly.write, str(tmp_path / "file"), limits=SMALL)
    assert not (tmp_path / "file").exists() or (tmp_path / "file").stat().st_size == 0


async def test_others_are_answered_while_one_computes(limited):
    slow = asyncio.create_task(limited.call(costly.wait, limits=CostLimits(1, 30, 64)))
    assert await limited.call(costly.length, "quick", limits=SMALL) == 5
    assert not slow.done()
    slow.cancel()
    await asyncio.gather(slow, return_exceptions=True)


def children() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):  # it ends just now
            found += [child] if "runtime.limited_server" in child.cmdline() else []
    return found


async def test_a_killed_server_is_started_again_and_it_ends_with_its_owner():
    limited = LimitedProcesses(("tests.support.costly",))
    assert await limited.call(costly.length, "a", limits=SMALL) == 1
    [server] = children()
    server.kill()
    server.wait(30)
    assert await limited.call(costly.length, "ab", limits=SMALL) == 2
    assert len(children()) == 1
    del limited
    gc.collect()
    await until(lambda: children() == [])


async def test_a_call_outlives_its_server_and_takes_no_orders_for_it():
    limited = LimitedProcesses(("tests.support.costly",))
    slow = asyncio.create_task(limited.call(costly.wait, limits=CostLimits(1, 30, 64)))
    await until(lambda: [child for server in children() for child in server.children()])
    [server] = children()
    server.kill()
    server.wait(30)
    assert await limited.call(costly.length, "ab", limits=SMALL) == 2
    slow.cancel()
    await asyncio.gather(slow, return_exceptions=True)


async def test_a_server_that_cannot_start_is_no_fault_of_the_input():
    broken = LimitedProcesses(("tests.support.no_such_module",))
    with pytest.raises(DependencyError, match=r"ended before it began|can be started"):
        await broken.call(costly.length, "a", limits=SMALL)
