"""The bets on two rates, against sums over everything that can happen."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.canary.counts import WindowCounts
from domain.canary.error_rate import EFFECTS, log_not_worse, log_worse, odds_ratios
from domain.canary.one_sample import log_above, log_below
from domain.canary.two_sample import Block, log_bet, log_expected_power

small = st.integers(0, 12)
shares = st.floats(0.01, 0.99)


def chance(hits: int, trials: int, rate: float) -> float:
    return math.comb(trials, hits) * rate**hits * (1 - rate) ** (trials - hits)


@given(small, small, small, st.floats(1.01, 100))
def test_the_expected_power_is_what_the_sum_says(canary, stable, hits, ratio):
    hits = min(hits, canary + stable)
    mine = min(canary, hits)
    ways = {j: math.comb(canary, j) * math.comb(stable, hits - j) for j in range(hits + 1)}
    plain = sum(way * ratio**j for j, way in ways.items()) / math.comb(canary + stable, hits)
    block = Block(mine, canary, hits - mine, stable)
    assert log_expected_power(block, ratio) == pytest.approx(math.log(plain), abs=1e-9)


@given(st.integers(1, 6), st.integers(1, 6), shares, shares, st.floats(1.1, 50))
def test_a_bet_gains_nothing_on_average_unless_the_canary_is_worse(canary, stable, one, other, ratio):
    low, high = sorted((one, other))
    for p, q in ((low, high), (low, low)):
        mean = sum(
            chance(i, canary, p) * chance(j, stable, q) * math.exp(log_bet(Block(i, canary, j, stable), ratio))
            for i in range(canary + 1)
            for j in range(stable + 1)
        )
        assert mean <= 1 + 1e-9


sizes = st.tuples(st.integers(1, 6), st.integers(1, 6))


@given(sizes, st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0.02, 0.4), small)
def test_nor_does_the_bet_on_not_worse_if_it_is_by_the_margin(size, q, more, margin, known_errors):
    (canary, stable), p = size, min(q + margin + more, 1.0)
    known = WindowCounts(requests=20, errors=known_errors)

    def factor(i: int, j: int) -> float:
        return math.exp(log_not_worse(0.0, Block(i, canary, j, stable), known, margin))

    mean = sum(
        chance(i, canary, p) * chance(j, stable, q) * factor(i, j) for i in range(canary + 1) for j in range(stable + 1)
    )
    assert mean <= 1 + 1e-6


@given(st.integers(1, 20), shares, st.floats(0, 1))
def test_nor_do_the_bets_on_one_rate(trials, limit, part):
    for log, rate in ((log_above, limit * part), (log_below, limit + (1 - limit) * part)):
        mean = sum(chance(hits, trials, rate) * math.exp(log(hits, trials, limit)) for hits in range(trials + 1))
        assert mean <= 1 + 1e-9


def test_huge_blocks_are_cheap_and_finite():
    block = Block(12_000, 1_000_000, 1_000_000, 100_000_000)
    assert math.isfinite(log_bet(block, 1.5))


def test_a_stable_release_that_always_fails_leaves_nothing_to_bet_on():
    known = WindowCounts(requests=1000, errors=1000)
    assert min(odds_ratios(0.999, 0.005)) >= 1
    bets = log_worse((0.0,) * EFFECTS, Block(10, 10, 100, 100), known, 0.005)
    assert max(bets) == pytest.approx(0, abs=1e-9)
    assert math.isfinite(log_not_worse(0.0, Block(10, 10, 100, 100), known, 0.005))
