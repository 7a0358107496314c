"""A watch takes as long as it is to take, whatever the clocks of the machine do meanwhile."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from temporalio.testing import ActivityEnvironment

from activities import analysis
from activities.analysis import AnalysisActivities
from activities.watch_clock import WatchClock
from contracts.analysis import AnalyseRelease, AnalysisReport
from domain.canary.counts import SideCounts
from domain.canary.policy import AnalysisPolicy
from domain.canary.state import JudgeState
from domain.canary.verdict import Verdict
from runtime.ids import now
from storage.engine import Sessions, transaction
from storage.repositories.analyses import AnalysisRepository
from tests.activities.test_analysis import deployment, request_for, shown  # noqa: F401 - a fixture among them

POLICY = AnalysisPolicy(duration=10, compare=("errors",))
HOURS = [timedelta(hours=1), timedelta(hours=-1)]


@dataclass
class Clocks:
    """A clock on the wall that somebody sets, and one that only runs; and the traffic of both sides.

    Each look takes two seconds of the one that runs.
    """

    jump: timedelta = timedelta()
    ran_s: float = 0.0
    looks: int = 0
    at_look: dict[int, timedelta] = field(default_factory=dict)
    frozen_at: dict[int, float] = field(default_factory=dict)
    hangs_after: int | None = None
    hangs: asyncio.Event = field(default_factory=asyncio.Event)

    def wall(self) -> datetime:
        return now() + self.jump

    def monotonic(self) -> float:
        return self.ran_s

    async def read(
        self, release_ids: Sequence[str], _policy: AnalysisPolicy, _place: object, /
    ) -> Mapping[str, SideCounts]:
        if self.looks == self.hangs_after:
            self.hangs.set()
            await asyncio.Event().wait()
        self.looks += 1
        self.ran_s += 2 + self.frozen_at.get(self.looks, 0)
        self.jump += self.at_look.get(self.looks, timedelta())
        return {release: SideCounts(requests=1000 * self.looks) for release in release_ids}


@pytest.fixture(autouse=True)
def _looks_follow_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """The seconds between two looks are those of the clock above."""
    monkeypatch.setattr(analysis, "LOOK_EVERY_S", 0.01)


def judged_by(sessions: Sessions, clocks: Clocks, policy: AnalysisPolicy) -> AnalysisActivities:
    return AnalysisActivities(sessions, {policy.provider: clocks}, wall=clocks.wall, monotonic=clocks.monotonic)


async def judged(sessions: Sessions, clocks: Clocks, request: AnalyseRelease) -> AnalysisReport:
    async with asyncio.timeout(60):
        return await ActivityEnvironment().run(judged_by(sessions, clocks, request.policy).analyse, request)


async def seen_looks(sessions: Sessions, clocks: Clocks, request: AnalyseRelease, looks: int) -> JudgeState:
    """An attempt that is killed after so many looks."""
    clocks.hangs_after = looks
    attempt = asyncio.create_task(judged(sessions, clocks, request))
    async with asyncio.timeout(60):
        await clocks.hangs.wait()
    attempt.cancel()
    with suppress(asyncio.CancelledError):
        await attempt
    async with transaction(sessions) as session:
        known = await AnalysisRepository(session).get(request.deployment_id, request.key)
    assert known is not None
    return JudgeState.model_validate(known.state)


def watched_s(state: JudgeState) -> float:
    assert state.started_at is not None
    assert state.looked_at is not None
    return (state.looked_at - state.started_at).total_seconds()


@pytest.mark.parametrize("jump", HOURS, ids=str)
async def test_a_clock_that_is_set_during_a_watch_neither_ends_nor_prolongs_it(sessions, deployment: UUID, jump):  # noqa: F811 - the fixture
    clocks = Clocks(at_look={3: jump})
    report = await judged(sessions, clocks, request_for(deployment, POLICY))
    assert (report.verdict, clocks.looks) == (Verdict.PASS, 6)
    assert (await shown(sessions, deployment))["elapsed_seconds"] == POLICY.duration


@pytest.mark.parametrize("jump", [timedelta(), *HOURS], ids=str)
async def test_a_clock_that_is_set_while_nobody_watches_is_no_matter_either(sessions, deployment: UUID, jump):  # noqa: F811 - the fixture
    request = request_for(deployment, POLICY)
    state = await seen_looks(sessions, Clocks(), request, 3)
    later = Clocks(jump=jump, looks=3, ran_s=77.0)  # another process, whose clock began elsewhere
    report = await judged(sessions, later, request)
    looks_left = -(-(POLICY.duration - watched_s(state)) // 2)
    assert report.verdict is Verdict.PASS
    assert (watched_s(state), later.looks - 3) == (4, looks_left)
    assert (await shown(sessions, deployment))["elapsed_seconds"] == POLICY.duration


async def test_what_people_held_is_left_out_once(sessions, deployment: UUID):  # noqa: F811 - the fixture
    request = request_for(deployment, POLICY)
    await seen_looks(sessions, Clocks(), request, 3)
    held = request.model_copy(update={"held_seconds": 5000.0})
    await seen_looks(sessions, Clocks(looks=3), held, 4)
    last = Clocks(looks=4)
    await judged(sessions, last, held)
    assert last.looks == 6
    assert (await shown(sessions, deployment))["elapsed_seconds"] == POLICY.duration


async def test_a_process_that_was_frozen_for_an_hour_has_not_watched_meanwhile(sessions, deployment: UUID):  # noqa: F811 - the fixture
    clocks = Clocks(frozen_at={3: 3600.0})
    await judged(sessions, clocks, request_for(deployment, POLICY))
    assert clocks.looks == 7


def test_a_clock_counts_differences_alone():
    read = iter([5.0, 6.0, 16.0, 4000.0, 4001.5])
    begun = now()
    clock = WatchClock(begun, lambda: next(read))
    assert [(clock.now() - begun).total_seconds() for _ in range(4)] == [1.0, 11.0, 11.0, 12.5]
