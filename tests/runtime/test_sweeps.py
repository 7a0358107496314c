"""None that fails or hangs keeps the others of a sweep waiting, and none fills the log."""

import asyncio
from itertools import pairwise

import pytest
from structlog.testing import capture_logs

from domain.errors import DependencyError
from runtime import sweeps
from runtime.sweeps import Sweep, stages
from tests.support.waiting import until


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Work:
    """Does what its item says, and remembers what came to its end."""

    def __init__(self) -> None:
        self.tried: list[str] = []
        self.done: list[str] = []

    async def __call__(self, item: str) -> None:
        self.tried.append(item)
        if item.startswith("bad"):
            raise RuntimeError(item)
        if item.startswith("away"):
            raise DependencyError(item)
        if item.startswith("hang"):
            await asyncio.Event().wait()
        self.done.append(item)


def items(*names: str) -> dict[str, str]:
    return {name: name for name in names}


@pytest.fixture
def work() -> Work:
    return Work()


async def test_the_failing_first_ones_end_nothing(work):
    sweep = Sweep("test", limit_s=10, at_once=1)
    assert await sweep.each(items("bad", "away", "good", "better"), work) == 2
    assert work.done == ["good", "better"]


async def test_one_that_hangs_is_ended_and_the_others_go_on_beside_it(work):
    sweep = Sweep("test", limit_s=0.2, at_once=2)
    async with asyncio.timeout(120):
        assert await sweep.each(items("hang", "good", "better"), work) == 2
    assert sweep.under_way == set()
    assert sweep.pausing == {"hang"}


async def test_a_look_does_not_wait_for_what_takes_long_and_begins_nothing_twice(work):
    sweep = Sweep("test", limit_s=60)
    async with asyncio.timeout(120):
        assert await sweep.each(items("hang", "good"), work, wait_s=0.1) == 1
        assert sweep.under_way == {"hang"}
        assert await sweep.each(items("hang", "good"), work, wait_s=0.1) == 1
        await sweep.close()
    assert work.tried == ["hang", "good", "good"]
    assert sweep.under_way == set()


async def test_what_fails_is_tried_less_and_less_often_and_comes_after_all_others(work):
    clock = Clock()
    sweep = Sweep("test", limit_s=10, at_once=1, clock=clock)
    tries = []
    for second in range(1000):
        clock.now = float(second)
        before = len(work.tried)
        await sweep.each(items("bad", f"good{second}"), work)
        if "bad" in work.tried[before:]:
            tries.append(second)
            assert work.tried[-1] == "bad" or second == 0
    pauses = [b - a for a, b in pairwise(tries)]
    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300]
    assert len([name for name in work.done if name.startswith("good")]) == 1000


async def test_a_dependency_that_is_away_is_tried_again_soon_and_not_for_everything(work):
    clock = Clock()
    sweep = Sweep("test", limit_s=10, at_once=1, most_away=3, clock=clock)
    await sweep.each(items(*(f"away{n}" for n in range(100))), work)
    assert len(work.tried) == 3
    clock.now += 1000
    await sweep.each(items("away0", "good"), work)
    assert work.done == ["good"]
    clock.now += sweeps.LONGEST_WAIT_S
    assert sweep.pausing == set()


async def test_one_that_succeeds_again_starts_with_a_clean_record(work):
    clock = Clock()
    sweep = Sweep("test", limit_s=10, clock=clock)
    await sweep.each({"a": "bad"}, work)
    clock.now += 6
    await sweep.each({"a": "good"}, work)
    await sweep.each({"a": "bad"}, work)
    clock.now += 6
    assert await sweep.each({"a": "good"}, work) == 1


async def test_a_thousand_failures_are_a_few_lines(work):
    sweep = Sweep("test", limit_s=10)
    with capture_logs() as lines:
        await sweep.each(items(*(f"bad{n}" for n in range(1000))), work)
        await sweep.each({}, work)
    assert len(lines) == sweeps.MOST_LOGGED + 1
    assert lines[-1]["items"] == 1000 - sweeps.MOST_LOGGED


async def test_a_cancelled_look_ends_what_it_began(work):
    sweep = Sweep("test", limit_s=60)
    task = asyncio.create_task(sweep.each(items("hang"), work))
    await until(lambda: bool(work.tried))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sweep.under_way == set()


async def test_what_takes_one_owner_long_keeps_no_other_waiting(work):
    """Ten organizations whose drains take twenty minutes each have all places; each new one begins at once."""
    sweep = Sweep("test", limit_s=1200, at_once=4, of_one=2)
    hanging = [f"hang {owner} {number}" for number in range(50) for owner in range(10)]
    owners = {name: name.split()[1] for name in hanging}
    await sweep.each(items(*hanging), work, owners=owners, wait_s=0.05)
    begun = [name.split()[1] for name in work.tried]
    assert sorted(begun) == sorted(map(str, range(10)))
    async with asyncio.timeout(120):
        await sweep.each(items("good"), work, owners={"good": "new"})
    assert work.done == ["good"]
    await sweep.close()
    assert sweep.under_way == set()


async def test_turns_are_dealt_between_owners_and_none_has_more_than_its_share(work):
    sweep = Sweep("test", limit_s=60, at_once=4, of_one=3)
    owners = {f"hang {number}": "many" for number in range(10)} | {"hang a": "a", "hang b": "b"}
    await sweep.each(items(*owners), work, owners=owners, wait_s=0.05)
    assert work.tried == ["hang 0", "hang 1", "hang 2", "hang a", "hang b"]
    await sweep.close()


async def test_every_stage_has_its_turn():
    done: list[str] = []

    async def fails() -> int:
        raise RuntimeError

    async def is_paused() -> int:
        raise DependencyError("away")

    async def hangs() -> int:
        await asyncio.Event().wait()
        return 0

    async def works() -> int:
        done.append("works")
        return 3

    assert await stages("test", fails, is_paused, hangs, works, limit_s=0.2) == 3
    assert done == ["works"]
    with pytest.raises(DependencyError):  # nothing could be done
        await stages("test", fails, is_paused)


async def test_what_no_look_waited_for_is_counted_when_it_is_done():
    goes_on = asyncio.Event()
    sweep = Sweep("test", limit_s=60)
    assert await sweep.each(items("slow"), lambda _: goes_on.wait(), wait_s=0) == 0
    assert sweep.finished() == 0
    goes_on.set()
    await until(lambda: not sweep.under_way)
    assert [sweep.finished(), sweep.finished()] == [1, 0]


async def test_what_had_nothing_to_do_is_not_counted_as_mended():
    """Somebody else was first: of three that came to their ends well, one mended something."""
    mends = {"found nothing": False, "mended": True, "says nothing": None}

    async def act(item: str) -> bool | None:
        return mends[item]

    sweep = Sweep("test", limit_s=60)
    assert await sweep.each(items("found nothing"), act) == 0
    assert sweep.finished() == 0
    assert sweep.pausing == set(), "it did not fail"
    assert await sweep.each(items(*mends), act) == 2
    assert sweep.finished() == 2
