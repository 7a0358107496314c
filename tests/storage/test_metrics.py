"""Counts of several processes on one database: what they add up to, and what is lost when something is killed."""

import asyncio
import math
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, event, func, select, text, update

from domain.errors import DependencyError, UnknownOutcomeError
from domain.metric_counts import Counts, Figures
from domain.metric_windows import KEPT, STEPS, Aggregation, beginning
from reconcilers.metric_rollup import MetricRollup
from runtime.ids import new_id
from runtime.meter import MOST_ORGANIZATIONS, Meter, Tally, current
from runtime.metrics_flush import EVERY_S, MetricsFlush
from runtime.single_flight import SharedAnswers
from storage import models
from storage.dataloader import Batched
from storage.engine import Sessions, create_engine, create_sessions, transaction
from storage.metrics_store import MetricsStore
from storage.models import MetricIncrement, MetricWriter, Organization
from storage.models.metrics import ALL_ORGANIZATIONS
from storage.query_meter import meter_queries
from storage.repositories.metric_rollups import MetricRollups
from storage.repositories.metrics import MetricsRepository
from storage.tenancy import PLATFORM, Tenant

ROOT = Path(__file__).resolve().parents[2]
AT_ONCE = timedelta(days=-1)
"""Minutes that have not begun are rolled up, too."""
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
async def _nothing_is_there(sessions: Sessions) -> AsyncIterator[None]:
    yield
    async with transaction(sessions) as session:
        for model in (MetricIncrement, models.MetricRollup, MetricWriter):
            await session.execute(delete(model))


@pytest.fixture
async def organizations(sessions: Sessions) -> list[UUID]:
    ids = [new_id(), new_id()]
    async with transaction(sessions) as session:
        session.add_all([Organization(id=one, name="o", slug=f"o-{one}", host_label=one.hex) for one in ids])
    return ids


def flush_of(sessions: Sessions, meter: Meter, **options: Any) -> MetricsFlush:
    return MetricsFlush(MetricsStore(sessions), meter, **options)


async def stored(sessions: Sessions, organization_id: UUID | None = None) -> Counts:
    """All of the last day, rolled up or not."""
    async with transaction(sessions) as session:
        metrics = MetricsRepository(session, Tenant(organization_id))
        now = await metrics.now()
        found = await metrics.total(STEPS[Aggregation.MINUTE], now - DAY, now + DAY)
        for counts in (await metrics.increments(now - DAY, now + DAY)).values():
            found.add(counts)
    return found


async def test_two_processes_add_up_and_each_organization_has_its_own(sessions, organizations):
    ours, theirs = organizations
    for _ in range(2):
        meter = Meter()
        meter.of(ours).answered(200, 10)
        meter.of(theirs).answered(500, 1000)
        meter.of(None).answered(401, 1)
        await flush_of(sessions, meter).reconcile()
    of_us, of_them, of_all = [await stored(sessions, one) for one in (ours, theirs, None)]
    assert (of_us.requests, of_us.errors, sum(of_us.latencies.values())) == (2, 0, 2)
    assert (of_them.requests, of_them.errors) == (2, 2)
    assert (of_all.requests, of_all.errors) == (6, 2)
    assert (Figures.of(of_us).api_latency_p99_ms, Figures.of(of_them).api_latency_p50_ms) == (10, 1002)
    assert of_all.cpu_capacity_s > 0 == of_us.cpu_capacity_s


async def test_rolling_up_changes_no_figure_and_what_comes_late_is_added(sessions, organizations):
    ours, _ = organizations
    meter, roll = Meter(), MetricRollup(sessions, settled=AT_ONCE)
    flush = flush_of(sessions, meter)
    before: list[Figures] = []
    for latency in (5.0, 50.0, 500.0):
        meter.of(ours).answered(200, latency)
        await flush.reconcile()
        before.append(Figures.of(await stored(sessions, ours)))
        assert await roll.roll_up() == 2
        assert await roll.roll_up() == 0
        assert Figures.of(await stored(sessions, ours)) == before[-1]
    assert [one.api_requests_total for one in before] == [1, 2, 3]
    for step in STEPS.values():
        async with transaction(sessions) as session:
            metrics = MetricsRepository(session, Tenant(ours))
            now = await metrics.now()
            total = await metrics.total(step, now - DAY, now + DAY)
            assert (total.requests, sorted(total.latencies.values())) == (3, [1, 1, 1])


async def test_only_minutes_that_are_over_are_rolled_up(sessions):
    await flush_of(sessions, Meter()).reconcile()
    assert await MetricRollup(sessions).roll_up() == 0


async def test_a_flush_is_one_statement_for_all_organizations(sessions, database_url):
    engine = create_engine(database_url, application_name="tests")
    sent: list[str] = []
    event.listen(engine.sync_engine, "before_cursor_execute", lambda *args: sent.append(args[2]))
    meter = Meter()
    for _ in range(100):
        meter.of(new_id()).answered(200, 1)
    await flush_of(create_sessions(engine), meter).reconcile()
    await engine.dispose()
    assert len([one for one in sent if "metric_increments" in one]) == 1 == len(sent)


async def test_an_unknown_organization_counts_among_all_only(sessions):
    meter, unknown = Meter(), new_id()
    meter.of(unknown).answered(200, 1)
    await flush_of(sessions, meter).reconcile()
    assert ((await stored(sessions, unknown)).requests, (await stored(sessions)).requests) == (0, 1)


class Unheard(MetricsStore):
    """Writes, and the answer is lost; the first `faults` times."""

    def __init__(self, sessions: Sessions, faults: int) -> None:
        super().__init__(sessions)
        self.faults = faults

    async def write(self, *args: Any) -> None:
        await super().write(*args)
        if self.faults:
            self.faults -= 1
            raise UnknownOutcomeError("who knows")


async def test_a_flush_that_was_written_and_not_confirmed_doubles_nothing(sessions, organizations):
    ours, _ = organizations
    meter, roll = Meter(), MetricRollup(sessions, settled=AT_ONCE)
    flush = MetricsFlush(Unheard(sessions, 3), meter)
    meter.of(ours).answered(200, 1)
    for _ in range(3):
        with pytest.raises(UnknownOutcomeError):
            await flush.reconcile()
        meter.of(ours).answered(200, 1)
        await roll.roll_up()  # what was written may be gone from where it was
    await flush.reconcile()
    assert flush.more  # what was counted meanwhile
    await flush.reconcile()
    assert (await stored(sessions, ours)).requests == 4 == (await stored(sessions)).requests


class Away:
    """A database that does not answer until it is back."""

    def __init__(self, store: MetricsStore) -> None:
        self.is_away = True
        self._store = store

    async def write(self, *args: Any) -> None:
        if self.is_away:
            raise DependencyError("away")
        await self._store.write(*args)


async def test_a_database_that_is_away_loses_nothing_within_the_bound(sessions, organizations):
    ours, theirs = organizations
    time = iter(float(10 * each) for each in range(10_000))
    store = Away(MetricsStore(sessions))
    meter = Meter()
    flush = MetricsFlush(store, meter, clock=lambda: next(time))
    for _ in range(60):
        meter.of(ours).answered(200, 1)
        meter.of(theirs).answered(500, 2)
        with pytest.raises(DependencyError):
            await flush.reconcile()
    assert flush.waiting <= 3 + 3 * 20  # in whole minutes, however often it was tried
    store.is_away = False
    while flush.waiting:
        await flush.reconcile()
    assert [(await stored(sessions, one)).requests for one in (ours, theirs, None)] == [60, 60, 120]
    assert flush.lost == flush.lost_of_all == 0


async def test_what_exceeds_the_bound_counts_among_all_and_is_told(sessions):
    store, meter = Away(MetricsStore(sessions)), Meter()
    flush = MetricsFlush(store, meter, clock=lambda: 0.0, most_waiting=10)
    for _ in range(5):
        for _ in range(10):
            meter.of(new_id()).answered(200, 1)
        with pytest.raises(DependencyError):
            await flush.reconcile()
    assert flush.waiting <= 10 + 11
    assert flush.lost == 50 - (flush.waiting - 2)
    store.is_away = False
    while flush.waiting:
        await flush.reconcile()
    assert (await stored(sessions)).requests == 50


async def test_a_flush_that_the_database_refuses_is_left_out_and_the_next_one_goes_on(sessions):
    meter = Meter()
    flush = flush_of(sessions, meter)
    meter.of(None).requests = 2**80
    with pytest.raises(Exception, match="out of range"):
        await flush.reconcile()
    meter.of(None).answered(200, 1)
    await flush.reconcile()
    assert (await stored(sessions)).requests == 1
    assert (flush.lost, flush.lost_of_all) == (0, 2**80)


def test_organizations_beyond_the_bound_count_among_all_only():
    meter = Meter()
    for _ in range(MOST_ORGANIZATIONS + 10):
        meter.of(new_id()).answered(200, 1)
    taken = meter.take()
    assert len(taken.of) == MOST_ORGANIZATIONS
    assert taken.all.requests == MOST_ORGANIZATIONS + 10


KILLED = """
import asyncio, os, signal, sys
from uuid import UUID
from runtime.meter import Meter
from runtime.metrics_flush import MetricsFlush
from storage.engine import create_engine, create_sessions
from storage.metrics_store import MetricsStore

async def main():
    meter = Meter()
    flush = MetricsFlush(MetricsStore(create_sessions(create_engine(sys.argv[1], application_name="tests"))), meter)
    for _ in range(7):
        meter.of(UUID(sys.argv[2])).answered(200, 1)
    await flush.reconcile()
    for _ in range(5):
        meter.of(UUID(sys.argv[2])).answered(200, 1)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_a_process_killed_between_two_flushes_loses_what_came_since_and_doubles_nothing(
    sessions, organizations, database_url
):
    ours, _ = organizations
    command = [sys.executable, "-c", KILLED, database_url, str(ours)]
    done = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, timeout=240, check=False)
    assert done.returncode == -9
    await MetricRollup(sessions, settled=AT_ONCE).roll_up()
    assert (await stored(sessions, ours)).requests == 7
    assert MetricsFlush.interval_s == EVERY_S == 10


async def test_a_process_that_ends_stores_what_it_counted_last(sessions, organizations, monkeypatch):
    monkeypatch.setattr("runtime.metrics_flush.LAST_FLUSH_S", 120)
    ours, _ = organizations
    meter = Meter()
    flush = flush_of(sessions, meter)
    meter.of(ours).answered(200, 1)
    task = asyncio.create_task(flush.run())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (await stored(sessions, ours)).requests == 1


async def test_the_clock_is_the_databases_and_a_jump_of_ours_moves_nothing(sessions, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 4e9)
    meter = Meter()
    meter.of(None).answered(200, 1)
    await flush_of(sessions, meter).reconcile()
    async with transaction(sessions) as session:
        told = await session.scalar(select(MetricIncrement.minute))
        now = await session.scalar(select(func.now()))
    assert abs(now - told) < timedelta(minutes=2)


async def test_rows_of_the_future_are_no_part_of_now_and_hinder_nothing(sessions):
    """The database's clock was wrong for a while, and was put right."""
    meter = Meter()
    meter.of(None).answered(200, 1)
    await flush_of(sessions, meter).reconcile()
    async with transaction(sessions) as session:
        await session.execute(update(MetricIncrement).values(minute=MetricIncrement.minute + timedelta(days=400)))
    meter.of(None).answered(200, 1)
    await flush_of(sessions, meter).reconcile()
    await MetricRollup(sessions).reconcile()
    async with transaction(sessions) as session:
        metrics = MetricsRepository(session, PLATFORM)
        now = await metrics.now()
        assert sum(one.requests for one in (await metrics.increments(now - DAY, now)).values()) == 1


async def test_several_workers_roll_up_at_once_and_nothing_counts_twice(sessions, organizations):
    for _ in range(5):
        meter = Meter()
        for one in organizations:
            meter.of(one).answered(200, 1)
        await flush_of(sessions, meter).reconcile()
    rolling = [MetricRollup(sessions, batch=1, settled=AT_ONCE) for _ in range(3)]
    await asyncio.gather(*(one.reconcile() for one in rolling))
    await rolling[0].reconcile()
    assert [(await stored(sessions, one)).requests for one in (*organizations, None)] == [5, 5, 10]
    async with transaction(sessions) as session:
        assert await session.scalar(select(func.count()).select_from(MetricIncrement)) == 0


async def test_each_step_goes_when_its_time_is_over(sessions):
    async with transaction(sessions) as session:
        now = await session.scalar(select(func.now()))
        rows = {}
        for aggregation, length in KEPT.items():
            step = STEPS[aggregation]
            for age in (length + 2 * step, length - 2 * step):
                rows[ALL_ORGANIZATIONS, int(step.total_seconds()), beginning(now - age, step)] = Counts(requests=1)
        await MetricRollups(session).add(rows)
        session.add(MetricWriter(id=new_id(), sequence=1, seen_at=now - timedelta(days=3)))
    assert await MetricRollup(sessions).expire() == len(KEPT)
    async with transaction(sessions) as session:
        left = (await session.execute(select(models.MetricRollup.step_s))).scalars()
        assert sorted(left) == [60, 300, 3600]
        assert await session.scalar(select(func.count()).select_from(MetricWriter)) == 0


async def too_slow(sessions: Sessions, meter: Meter) -> None:
    async with transaction(sessions) as session:
        await session.execute(text("SET LOCAL statement_timeout = 50"))
        meter.slow_query_s = 0.02
        await session.execute(text("SELECT pg_sleep(60)"))


@pytest.fixture
def tally() -> Iterator[Tally]:
    found = Tally()
    token = current.set(found)
    yield found
    current.reset(token)


async def test_queries_are_counted_for_the_request_that_made_them(database_url):
    engine = create_engine(database_url, application_name="tests")
    meter = Meter(slow_query_ms=math.inf)  # on a busy machine any statement may take long
    meter_queries(engine, meter)
    ours, tally = new_id(), Tally()
    token = current.set(tally)
    async with transaction(create_sessions(engine)) as session:
        await session.execute(text("SELECT 1"))
        meter.slow_query_s = 0.02
        await session.execute(text("SELECT pg_sleep(0.05)"))
    meter.slow_query_s = math.inf
    with pytest.raises(DependencyError):
        await too_slow(create_sessions(engine), meter)
    meter.slow_query_s = math.inf
    current.reset(token)
    meter.close(tally, ours)
    async with transaction(create_sessions(engine)) as session:
        await session.execute(text("SELECT 1"))
    await engine.dispose()
    assert (meter.of(ours).queries, meter.of(ours).slow_queries) == (4, 2)
    assert (meter.of(None).queries, meter.of(None).slow_queries) == (1, 0)


async def test_what_a_request_leaves_behind_counts_among_all(database_url, tally):
    meter = Meter()
    meter.close(tally, new_id())
    meter.query_ended(meter.query_began())
    assert (meter.of(None).queries, tally.queries) == (1, 0)
    assert math.isinf(Meter(math.inf).slow_query_s)


def test_a_slow_query_during_which_counts_are_taken_away_is_counted():
    meter = Meter(slow_query_ms=-1)
    began = meter.query_began()
    assert (meter.take().all.queries, meter.total().slow_queries) == (1, 0)
    meter.query_ended(began)
    assert (meter.take().all.slow_queries, meter.total().slow_queries) == (1, 1)


async def test_queries_of_shared_answers_count_for_one_of_those_who_asked(tally):
    meter, go = Meter(), asyncio.Event()

    async def load(keys: Sequence[str]) -> dict[str, str]:
        meter.query_ended(meter.query_began())
        await go.wait()
        return {one: one for one in keys}

    async def ask(key: str) -> str:
        meter.query_ended(meter.query_began())
        await go.wait()
        return key

    async def request(mine: Tally, answer: Callable[[str], Awaitable[str | None]]) -> None:
        current.set(mine)
        await answer("a")

    shared, batched = SharedAnswers(ask, keep_s=0), Batched(load)
    one, two, second = Tally(), Tally(), Tally()
    asked = [request(one, shared.get), request(two, shared.get), request(one, batched.get)]
    tasks = [asyncio.create_task(each) for each in asked]
    for _ in range(10):  # turns of the loop until both questions are under way
        await asyncio.sleep(0)
    tasks.append(asyncio.create_task(request(second, batched.get)))  # waits for the next question
    await asyncio.sleep(0)
    go.set()
    await asyncio.gather(*tasks)
    assert [each.queries for each in (one, two, second, tally)] == [2, 0, 1, 0]
    assert meter.of(None).queries == 0
