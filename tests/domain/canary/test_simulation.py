"""The judge's promises, tried on thousands of analyses: false alarms, false passes, and how fast it stops what is bad.

`make canary-report` does the same with many more runs and writes `docs/canary-judge.md`.
"""

import math

import numpy as np
import pytest

from domain.canary.counts import SideCounts
from domain.canary.error_rate import log_not_worse
from domain.canary.evidence import log_mean
from domain.canary.judge import judge
from domain.canary.policy import AnalysisPolicy
from domain.canary.state import JudgeState
from domain.canary.two_sample import Block
from domain.canary.verdict import Verdict
from tests.domain.canary.rivals import wald_bound
from tests.domain.canary.simulation import NEVER, bucketed, counts, rates, slow_at, stopped_at, users
from tests.domain.canary.traffic import ERRORS_ONLY, START, at
from tests.support.deep import by_depth

HOUR = 3600
ALPHA = 0.05
LIMIT = math.log(1 / ALPHA)


def most_by_chance(runs: int, alpha: float) -> int:
    """The number of false alarms that a test of exactly this alpha exceeds once in ten thousand times."""
    left, chance, count = 1.0, (1 - alpha) ** runs, 0
    while (left := left - chance) > 1e-4:
        count += 1
        chance *= (runs - count + 1) / count * alpha / (1 - alpha)
    return count


def test_the_arrays_do_what_the_judge_does():
    policy = AnalysisPolicy(compare=ERRORS_ONLY, alpha=0.01, duration=400, pass_early=False)
    draw, size = rates(3, 20, 0.05, 0.01), (3, 20)
    stopped = stopped_at(draw, size, looks=400, runs=5, log_limit=math.log(100), seed=4)
    random = np.random.default_rng(4)
    looks = [draw(random, measurement, 5) for measurement in range(min(stopped.max(), 400))]
    for run in range(5):
        state, mine, theirs = JudgeState.begin(START), 0, 0
        for measurement, (canary, stable) in enumerate(looks[: stopped[run]], start=1):
            mine, theirs = mine + int(canary[run]), theirs + int(stable[run])
            pair = (
                SideCounts(requests=20 * measurement, errors=theirs),
                SideCounts(requests=3 * measurement, errors=mine),
            )
            judgement, state = judge(policy, state, *pair, at(measurement))
            assert judgement.final == (measurement == stopped[run])


@pytest.mark.parametrize(
    "size",
    [(1, 99), pytest.param((10, 90), marks=pytest.mark.deep), (50, 50)],
    ids=["1 %", "10 %", "50 %"],
)
@pytest.mark.parametrize("rate", [0.001, pytest.param(0.01, marks=pytest.mark.deep), 0.05])
def test_identical_sides_and_a_look_every_second_for_an_hour(rate, size):
    runs = 100
    stopped = stopped_at(rates(*size, rate, rate), size, looks=HOUR, runs=runs, log_limit=LIMIT)
    assert (stopped < NEVER).sum() <= most_by_chance(runs, ALPHA)


def test_both_sides_failing_together_for_a_while_is_no_evidence():
    size, runs = (10, 90), 200

    def outage(random, measurement, many):
        rate = 0.4 if 100 <= measurement < 130 else 0.005
        return random.binomial(size[0], rate, many), random.binomial(size[1], rate, many)

    stopped = stopped_at(outage, size, looks=600, runs=runs, log_limit=LIMIT)
    assert (stopped < NEVER).sum() <= most_by_chance(runs, ALPHA)


def test_a_history_that_misleads_is_no_evidence():
    size, runs = (10, 90), 200
    draw = rates(*size, 0.05, 0.05)
    stopped = stopped_at(draw, size, looks=600, runs=runs, log_limit=LIMIT, history=(100, 1_000_000))
    assert (stopped < NEVER).sum() <= most_by_chance(runs, ALPHA)


def test_identical_latencies_are_no_evidence_either():
    cells, runs = np.full(20, 0.05), 200
    stopped = slow_at((cells, cells), (10, 90), looks=400, runs=runs, log_limit=LIMIT)
    assert (stopped < NEVER).sum() <= most_by_chance(runs, ALPHA)


def at_looks(random, each, looks, *, same):
    """Cumulative readings of two sides of the same distribution over 40 buckets; all the requests fall into `same`."""
    canary = stable = np.zeros(41, np.int64)
    weights = np.append(random.dirichlet(np.full(40, 0.3)), 0)  # nothing above all buckets
    for measurement in range(looks):
        if measurement in same:
            canary = canary + random.multinomial(each[0], weights)
            stable = stable + random.multinomial(each[1], weights)
        yield tuple(reading(side) for side in (stable, canary))


def reading(cells):
    window = bucketed(cells)
    return SideCounts(requests=window.requests, bounds=window.bounds, at_or_below=window.at_or_below)


@pytest.mark.parametrize(
    "same",
    [
        pytest.param({0}, marks=pytest.mark.deep),
        pytest.param({3}, marks=pytest.mark.deep),
        pytest.param({0, 1}, marks=pytest.mark.deep),
        pytest.param({1, 3}, marks=pytest.mark.deep),
        {0, 1, 2, 3},
    ],
    ids=str,
)
@pytest.mark.shortened
def test_identical_latencies_raise_no_alarm_whatever_looks_the_requests_fall_into(same):
    runs, random = by_depth(short=60, long=200), np.random.default_rng(sum(same) + len(same))
    policy = AnalysisPolicy(
        compare=("latency",), alpha=ALPHA, duration=4, min_requests=10, latency_tolerance=0, min_latency_ms=0
    )
    failed = held = 0
    for _ in range(runs):
        state, each = JudgeState.begin(START), random.integers(20, 200, 2)
        for second, (stable, canary) in enumerate(at_looks(random, each, 4, same=same), start=1):
            judgement, state = judge(policy, state, stable, canary, at(second))
            if judgement.final:
                break
        failed += judgement.verdict is Verdict.FAIL
        held += judgement.verdict is Verdict.INCONCLUSIVE
    assert failed <= most_by_chance(runs, ALPHA)
    assert held <= most_by_chance(runs, 0.1), "what is held is no alarm, but a person is asked in vain"


def test_slower_requests_are():
    stable = np.full(20, 0.05)
    canary = np.append(np.full(19, 0.04), 0.24)
    stopped = slow_at((canary, stable), (10, 90), looks=60, runs=50, log_limit=LIMIT)
    assert np.median(stopped) < 20


@pytest.mark.parametrize(("rate", "effect"), [(0.001, 0.01), (0.01, 0.02), (0.01, 0.05), (0.05, 0.05), (0.05, 0.2)])
def test_a_bad_canary_is_stopped_within_twice_walds_bound(rate, effect):
    alpha, size = 0.01, (1, 99)
    own = math.log(6 / (4 * alpha))  # the error rate's part of alpha when latency is compared, too
    history = round(100_000 * rate), 100_000
    draw = rates(*size, rate + effect, rate)
    stopped = stopped_at(draw, size, looks=20_000, runs=100, log_limit=own, history=history)
    assert (stopped < NEVER).all()
    assert stopped.mean() <= 2 * wald_bound(alpha, rate, rate + effect)


def test_users_whose_requests_fail_together_need_a_design_effect():
    each, correlation, size, runs = 10, 0.5, (50, 450), 200
    draw = users(*size, each, 0.02, correlation)
    careless, careful = (
        stopped_at(draw, size, looks=300, runs=runs, log_limit=LIMIT, design_effect=effect) for effect in (1, each)
    )
    assert (careless < NEVER).sum() > most_by_chance(runs, ALPHA), "as if each request were independent"
    assert (careful < NEVER).sum() <= most_by_chance(runs, ALPHA)


def test_a_canary_worse_by_the_margin_is_seldom_found_not_worse():
    margin, runs, beta, random = 0.02, 150, 0.05, np.random.default_rng(3)
    wrong = 0
    for _ in range(runs):
        log, known = 0.0, (0, 0)
        for _ in range(150):
            block = Block(int(random.binomial(10, 0.03)), 10, int(random.binomial(90, 0.01)), 90)
            log = log_not_worse(log, block, counts(*known), margin)
            known = (known[0] + 90, known[1] + block.stable_hits)
            if log >= math.log(1 / beta):
                wrong += 1
                break
    assert wrong <= most_by_chance(runs, beta)


def test_the_mean_of_bets_is_a_mean():
    assert log_mean([math.log(1), math.log(3)]) == pytest.approx(math.log(2))
