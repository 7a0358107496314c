"""What begins late in a watch is judged too: the last part of it, not the mean of the whole."""

import math
import re

import numpy as np
import pytest

from domain.canary.counts import SideCounts
from domain.canary.judge import judge
from domain.canary.measurement import LOG_DOUBTFUL
from domain.canary.policy import AnalysisPolicy
from domain.canary.state import JudgeState
from domain.canary.verdict import Judgement, Verdict
from tests.domain.canary.simulation import NEVER, above_at, stopped_at
from tests.domain.canary.test_simulation import most_by_chance
from tests.domain.canary.traffic import BOUNDS, START, at
from tests.support.deep import by_depth

WATCH = AnalysisPolicy(duration=40, max_error_rate=5, compare=())
PAIR = AnalysisPolicy(duration=300, compare=("errors",))


def watched(policy: AnalysisPolicy, rates: tuple[float, float], *, begins: float, per_s: int, seed: int) -> Judgement:
    """Of an analysis with a look each second: the canary's error rate until something begins, and from then on.

    The stable release, ten times as large where it is compared with, has the first rate throughout.
    """
    random, compared = np.random.default_rng(seed), bool(policy.compare)
    state, mine, theirs, second = JudgeState.begin(START), 0, 0, 0
    while True:
        second += 1
        mine += int(random.binomial(per_s, rates[second > begins]))
        theirs += int(random.binomial(10 * per_s, rates[0]))
        stable = SideCounts(requests=10 * per_s * second, errors=theirs) if compared else None
        judgement, state = judge(
            policy, state, stable, SideCounts(requests=per_s * second, errors=mine), at(float(second))
        )
        if judgement.final:
            return judgement


@pytest.mark.parametrize(
    ("begins", "rate", "per_s"), [(15, 0.2, 20), (30, 0.2, 20), (34, 0.3, 20), (37, 1.0, 20), (38, 0.5, 100)]
)
def test_a_fault_that_begins_late_in_a_watch_with_a_limit_is_never_passed(begins, rate, per_s):
    """On the whole it stays below the limit of 5 %: all of it counted, 20 % of the last quarter are 5 %."""
    found = [watched(WATCH, (0.0, rate), begins=begins, per_s=per_s, seed=seed) for seed in range(20)]
    assert [one.verdict for one in found if one.verdict is Verdict.PASS] == []
    assert sum(one.verdict is Verdict.FAIL for one in found) > 10


@pytest.mark.parametrize(
    ("begins", "rate"),
    [pytest.param(150, 0.05, marks=pytest.mark.deep), pytest.param(285, 0.2, marks=pytest.mark.deep), (295, 0.5)],
)
@pytest.mark.shortened
def test_a_fault_that_begins_late_beside_a_stable_release_is_never_passed(begins, rate):
    seeds = range(by_depth(short=4, long=10))
    found = [watched(PAIR, (0.001, rate), begins=begins, per_s=20, seed=seed) for seed in seeds]
    assert {one.verdict for one in found} == {Verdict.FAIL}


def test_it_says_since_when():
    judgement = watched(WATCH, (0.0, 0.3), begins=35, per_s=50, seed=1)
    assert judgement.verdict is Verdict.FAIL
    (reason,) = judgement.reasons
    assert re.search(r"canary [0-4]\.\d+ % \(\d+ of 1[89]\d0\); from 3[345]\S* s on [1-4]\d(\.\d)? %", reason), reason
    assert "above the limit" in reason
    beside = watched(PAIR, (0.001, 0.3), begins=290, per_s=20, seed=1)
    assert "s on canary" in beside.reasons[0]


@pytest.mark.parametrize("median_ms", [100, 300])
def test_slowness_that_begins_late_is_judged_too(median_ms):
    policy = AnalysisPolicy(duration=60, max_p95_ms=250, min_requests=50)
    slow = np.array(BOUNDS) >= median_ms
    state, fast = JudgeState.begin(START), np.array(BOUNDS) >= 20
    for second in range(1, 61):
        late = max(0, second - 55)
        below = tuple(int(n) for n in (second - late) * 20 * fast + late * 20 * slow)
        mine = SideCounts(requests=20 * second, bounds=BOUNDS, at_or_below=below)
        stable = SideCounts(requests=20 * second, bounds=BOUNDS, at_or_below=tuple(int(n) for n in 20 * second * fast))
        judgement, state = judge(policy, state, stable, mine, at(second))
        if judgement.final:
            break
    assert judgement.verdict is Verdict.FAIL
    assert judgement.elapsed_seconds > 55


@pytest.mark.parametrize(
    ("size", "limit"),
    [
        (1, 0.05),
        (20, 0.01),
        *(pytest.param(*each, marks=pytest.mark.deep) for each in [(1, 0.01), (1, 0.2), (20, 0.05), (20, 0.2)]),
    ],
)
def test_a_canary_that_is_just_at_its_limit_raises_no_more_alarms_than_alpha(limit, size):
    runs, alpha = 2000, 0.05
    stopped, last = above_at(
        lambda random, _, many: random.binomial(size, limit, many),
        size,
        limit,
        looks=300,
        runs=runs,
        log_limit=math.log(1 / alpha),
    )
    assert (stopped < NEVER).sum() <= most_by_chance(runs, alpha)
    assert (last >= LOG_DOUBTFUL).sum() <= most_by_chance(runs, 0.1), "nobody is asked in vain more often"


def test_a_limit_that_is_kept_by_turns_raises_no_alarm_either():
    """Bursts at the limit with nothing between: as many chances for a bet that is placed anew."""
    runs = 2000

    def bursts(random, measurement, many):
        return random.binomial(20, 0.05 if measurement % 30 < 5 else 0.0, many)

    stopped, _ = above_at(bursts, 20, 0.05, looks=300, runs=runs, log_limit=math.log(20))
    assert (stopped < NEVER).sum() <= most_by_chance(runs, 0.05)


def test_identical_sides_that_both_fail_late_are_no_evidence():
    size, runs = (10, 90), 500

    def outage(random, measurement, many):
        rate = 0.4 if measurement >= 280 else 0.005
        return random.binomial(size[0], rate, many), random.binomial(size[1], rate, many)

    stopped = stopped_at(outage, size, looks=300, runs=runs, log_limit=math.log(20))
    assert (stopped < NEVER).sum() <= most_by_chance(runs, 0.05)
