"""The loop of every reconciler: rests, wake-ups, pauses after faults, limits, lines, ends. Time is a counter here."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from structlog.testing import capture_logs

from domain.errors import DependencyError
from runtime import reconciler as loops
from runtime.reconciler import Flag, Outcome, Reconciler, running
from runtime.telemetry import Passes
from tests.support.waiting import until

FAULTS = {"away": DependencyError("away"), "gone": OSError("no such file"), "bug": RuntimeError("bug")}


class Clock:
    """Rests take no time; each is noted. In the last of so many whoever rests is cancelled."""

    def __init__(self, rests: int = 1000) -> None:
        self.rests: list[float] = []
        self.rings: list[bool] = []
        self._left = rests

    async def wait(self, seconds: float) -> bool:
        self.rests.append(seconds)
        if len(self.rests) == self._left:
            raise asyncio.CancelledError
        return self.rings.pop(0) if self.rings else False


class Scripted(Reconciler):
    """Each pass does what comes next: mend so many, fail, hang, or whatever is called."""

    name = "scripted"
    interval_s = 10.0
    jitter = 0.0

    def __init__(self, script: Sequence[object] = (), clock: Clock | None = None, **more: object) -> None:
        self.timer = clock or Clock(max(1, len(script)))
        super().__init__(timer=self.timer, **more)
        self._script = list(script)
        self.passes = 0
        self.seen: list[bool] = []
        self.closed = 0

    async def reconcile(self) -> int:
        self.seen.append(self.woken)
        self.passes += 1
        step = self._script.pop(0) if self._script else 0
        if isinstance(step, int):
            return step
        if step == "hang":
            await asyncio.Event().wait()
        if step == "more":
            self.more = True
            return 1
        if step == "last":
            self.is_over = True
            return 0
        raise FAULTS[step]

    async def close(self) -> None:
        self.closed += 1


async def ran(reconciler: Reconciler) -> list[dict]:
    """Its lines until the clock's rests are over."""
    with capture_logs() as lines, suppress(asyncio.CancelledError):
        await reconciler.run()
    return [line for line in lines if line["reconciler"] == reconciler.name]


steps = st.lists(st.one_of(st.integers(0, 5), st.sampled_from(["away", "gone", "bug"])), min_size=1, max_size=25)


@given(steps)
def test_pauses_grow_while_passes_fail_and_each_pass_that_did_something_or_failed_has_one_line(script):
    reconciler = Scripted(script)
    lines = asyncio.run(ran(reconciler))
    rests, told, failures = [], [], 0
    for step in script:
        if isinstance(step, int):
            event = "reconciler.recovered" if failures else "reconciler.mended" if step else None
            told += [event] if event else []
            failures = 0
            rests.append(10.0)
        else:
            told.append("reconciler.fault" if step == "bug" else "reconciler.failed")
            rests.append(min(10.0, 2.0**failures))
            failures += 1
    assert reconciler.timer.rests == rests
    assert [line["event"] for line in lines] == told
    assert reconciler.closed == 1


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_rest_is_shorter_by_the_jitter_at_most_and_never_longer(jitter, chance):
    reconciler = Scripted([0, "away"], chance=lambda: chance)
    reconciler.jitter = jitter
    asyncio.run(ran(reconciler))
    for rest, whole in zip(reconciler.timer.rests, (10.0, 1.0), strict=True):
        assert whole * (1 - jitter) - 1e-9 <= rest <= whole


async def test_what_is_left_due_is_not_rested_for():
    reconciler = Scripted(["more", "more", 1], Clock(1))
    await ran(reconciler)
    assert (reconciler.passes, reconciler.timer.rests) == (3, [10.0])


async def test_a_pass_knows_whether_something_rang_since_the_last_good_one():
    wakeup = Clock(5)
    wakeup.rings = [False, True, True]
    reconciler = Scripted([0, 0, 0, "away", 0, 0], Clock(), wakeup=wakeup)
    await ran(reconciler)
    assert reconciler.seen == [True, False, True, True, True, False]
    assert reconciler.timer.rests == [1.0], "no wake-up shortens the pause after a fault"


async def test_what_a_pass_waited_for_may_be_cancelled_without_ending_the_loop():
    class Waiting(Scripted):
        async def reconcile(self) -> int:
            if await super().reconcile():
                other = asyncio.ensure_future(asyncio.Event().wait())
                other.cancel()
                await other
            return 0

    reconciler = Waiting([1, 0], Clock(2))
    lines = await ran(reconciler)
    assert [line["event"] for line in lines] == ["reconciler.fault", "reconciler.recovered"]
    assert (reconciler.passes, reconciler.timer.rests) == (2, [1.0, 10.0])


async def test_one_that_begins_later_rests_first():
    reconciler = Scripted([], Clock(2))
    reconciler.begins_at_once = False
    await ran(reconciler)
    assert (reconciler.passes, reconciler.timer.rests) == (1, [10.0, 10.0])


async def test_one_with_nothing_more_to_do_ends_by_itself():
    reconciler = Scripted([1, "last"], Clock(2))
    await reconciler.run()
    assert (reconciler.passes, reconciler.closed) == (2, 1)


async def test_a_pass_that_hangs_is_ended_and_logged_and_the_next_ones_come():
    reconciler = Scripted(["hang", "hang", 3], Clock(3))
    reconciler.limit_s = 0.01
    lines = await ran(reconciler)
    assert [line["event"] for line in lines] == ["reconciler.timed_out"] * 2 + ["reconciler.recovered"]
    assert (lines[0]["limit_s"], lines[1]["failures"], lines[2]["mended"]) == (0.01, 2, 3)
    assert reconciler.timer.rests == [1.0, 2.0, 10.0]


async def test_a_pass_that_timed_out_is_not_begun_again_at_once(monkeypatch):
    """It kept the database busy for its whole limit: a second later that would go on, all day."""
    monkeypatch.setattr(loops, "FIRST_BACKOFF_S", 0.001)
    reconciler = Scripted(["away", "hang", "hang", "away", 0, "hang"], Clock(6))
    reconciler.limit_s = 0.05
    await ran(reconciler)
    assert reconciler.timer.rests == [0.001, 0.05, 0.05, 0.008, 10.0, 0.05]


async def test_the_pause_after_a_time_out_is_no_longer_than_the_interval(monkeypatch):
    reconciler = Scripted(["hang"], Clock(1))
    reconciler.limit_s, reconciler.interval_s = 0.05, 0.02
    await ran(reconciler)
    assert reconciler.timer.rests == [0.02]


async def test_a_time_limit_of_the_works_own_is_no_hanging_pass():
    class Limited(Scripted):
        async def reconcile(self) -> int:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
            return 0

    with capture_logs() as lines:
        assert await Limited().run_once() is Outcome.FAILED
    assert lines[0]["reason"] == "TimeoutError"


async def test_of_failures_in_a_row_only_the_first_is_logged_where_that_is_wished_but_every_bug():
    reconciler = Scripted(["away", "away", "bug", "away", 0, "away"])
    reconciler.repeats_failures = False
    told = [line["event"].removeprefix("reconciler.") for line in await ran(reconciler)]
    assert told == ["failed", "fault", "recovered", "failed"]


async def test_a_broken_wakeup_ends_no_loop():
    class Broken:
        async def wait(self, seconds: float) -> bool:
            raise RuntimeError

    reconciler = Scripted([1, 1], Clock(2), wakeup=Broken())
    lines = await ran(reconciler)
    assert reconciler.passes == 2
    told = [line["event"].removeprefix("reconciler.") for line in lines]
    assert told == ["mended", "fault", "recovered", "fault"]
    assert reconciler.timer.rests == [1.0, 1.0]


@pytest.mark.parametrize("script", [["hang"], [0]])
async def test_cancelled_it_ends_amid_a_pass_and_amid_a_rest(script):
    class Forever:
        async def wait(self, seconds: float) -> bool:
            await asyncio.Event().wait()
            return True

    reconciler = Scripted(script, wakeup=Forever())
    async with running(reconciler):
        await until(lambda: reconciler.passes == 1)
    assert (reconciler.passes, reconciler.closed) == (1, 1)


async def test_an_event_of_this_process_ends_a_rest_once():
    event = asyncio.Event()
    flag = Flag(event)
    event.set()
    assert await flag.wait(3600)
    assert not await flag.wait(0)


async def test_passes_are_counted_by_their_outcome(monkeypatch):
    reader, passes = InMemoryMetricReader(), Passes()
    provider = MeterProvider([reader])
    passes.measure(provider)
    monkeypatch.setattr(loops, "passes", passes)
    reconciler = Scripted([2, 3, 0, "away", "hang"])
    reconciler.limit_s = 0.01
    await ran(reconciler)
    found = {}
    data = reader.get_metrics_data()
    for metric in data.resource_metrics[0].scope_metrics[0].metrics:
        for point in metric.data.data_points:
            assert point.attributes["reconciler"] == "scripted"
            found[metric.name, point.attributes.get("outcome")] = getattr(point, "value", getattr(point, "count", None))
    provider.shutdown()
    assert found == {
        ("delivery.reconciler.mended", None): 5,
        ("delivery.reconciler.pass.duration", "mended"): 2,
        ("delivery.reconciler.pass.duration", "unchanged"): 1,
        ("delivery.reconciler.pass.duration", "failed"): 1,
        ("delivery.reconciler.pass.duration", "timed_out"): 1,
    }
