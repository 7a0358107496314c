"""Providers that give latencies one by one: judged by ranks, once, at the end."""

import numpy as np
import pytest

from domain.canary.counts import SideCounts
from domain.canary.judge import judge
from domain.canary.policy import AnalysisPolicy
from domain.canary.ranks import rank_test
from domain.canary.state import JudgeState
from domain.canary.verdict import Verdict
from tests.domain.canary.traffic import START, at

POLICY = AnalysisPolicy(duration=60)


def measurement(mine: np.ndarray, theirs: np.ndarray, seconds: float = 60, policy: AnalysisPolicy = POLICY) -> Verdict:
    canary, stable = (SideCounts(requests=len(side), samples=tuple(map(float, side))) for side in (mine, theirs))
    return judge(policy, JudgeState.begin(START), stable, canary, at(seconds))[0].verdict


def times(seed: int, median: float, spread: float, n: int = 800) -> np.ndarray:
    return median * np.exp(spread * np.random.default_rng(seed).standard_normal(n))


def test_the_same_pass_slower_fail_and_another_shape_is_held():
    stable = times(1, 100, 0.3)
    assert measurement(times(2, 100, 0.3), stable) is Verdict.PASS
    assert measurement(times(2, 160, 0.3), stable) is Verdict.FAIL
    assert measurement(times(2, 110, 0.3), stable) is Verdict.PASS, "within the tolerance"
    assert measurement(times(2, 100, 0.9), stable) is Verdict.INCONCLUSIVE


def test_they_are_not_looked_at_before_the_end():
    assert measurement(times(2, 160, 0.3), times(1, 100, 0.3), seconds=59) is Verdict.INCONCLUSIVE


def test_the_limit_of_p95_holds_for_them_too():
    policy = AnalysisPolicy(duration=60, max_p95_ms=130)
    assert measurement(times(2, 100, 0.3), times(1, 100, 0.3), policy=policy) is Verdict.FAIL


@pytest.mark.parametrize(
    ("canary", "stable", "p", "delta"),
    [([1, 2, 3], [1, 2, 3], 0.5, 0.0), ([5] * 10, [5] * 10, 1.0, 0.0), ([4, 5, 6], [1, 2, 3], 0.04, 1.0)],
)
def test_ranks_by_hand(canary, stable, p, delta):
    found = rank_test(canary, stable)
    assert found.p == pytest.approx(p, abs=0.1)
    assert found.delta == pytest.approx(delta)
