"""The canary's error rate compared with the stable side's: evidence that it is worse, and that it is not.

Both grow block by block. A bet depends only on earlier stable requests, never on the block it is applied to.
"""

import math
from collections.abc import Sequence

from domain.canary.counts import WindowCounts
from domain.canary.evidence import log_likelihood_ratio, odds
from domain.canary.two_sample import Block, log_bet

EFFECTS = 5
_STEP = 3.0  # factor between two effects to bet on; smaller steps gained nothing in simulations
_HIGHEST = 0.98
_GUESS = (0.5, 50.0)  # prior before any data: half an error in fifty requests
_HALVINGS = 60


def expected_rate(hits: int, trials: int) -> float:
    """The stable side's estimated rate; between 0 and 1, exclusive."""
    return (hits + _GUESS[0]) / (trials + _GUESS[1] + 1)


def odds_ratios(rate: float, min_effect: float) -> tuple[float, ...]:
    """The alternatives to bet on: worse by `min_effect`, three times, nine times it ..., as odds ratios.

    The rate's odds are rounded to half powers of two: this loses nothing, and results can be cached.
    """
    rounded = 2 ** (round(2 * math.log2(odds(rate))) / 2)
    base = rounded / (1 + rounded)
    higher = (min(base + min_effect * _STEP**k, _HIGHEST) for k in range(EFFECTS))
    return tuple(max(odds(rate) / rounded, 1.0) for rate in higher)


def log_worse(bets: Sequence[float], block: Block, known: WindowCounts, min_effect: float) -> tuple[float, ...]:
    """The bets after a block that the canary fails more often by 1, 3, 9 ... times `min_effect` (a share)."""
    ratios = odds_ratios(expected_rate(known.errors, known.requests), min_effect)
    return tuple(log + log_bet(block, ratio) for log, ratio in zip(bets, ratios, strict=True))


def log_not_worse(log: float, block: Block, known: WindowCounts, margin: float) -> float:
    """Evidence, after a block, against "the canary fails more often by `margin` or more".

    The block e-variable of Turner and Grünwald (2023), "Exact anytime-valid confidence intervals for contingency
    tables and beyond": the likelihood of equal rates over that of the closest pair that differs by the margin.
    """
    rate = min(expected_rate(known.errors, known.requests), 1 - margin - 1e-6)
    nearest = _nearest(rate, margin, block)
    canary = log_likelihood_ratio(block.canary_hits, block.canary, rate, nearest + margin)
    return log + canary + log_likelihood_ratio(block.stable_hits, block.stable, rate, nearest)


def _nearest(rate: float, margin: float, block: Block) -> float:
    """The stable rate q for which (q + margin, q) is hardest to tell from equal rates: where the slope is zero."""
    low, high = max(rate - margin, 0.0), rate
    for _ in range(_HALVINGS):
        q = (low + high) / 2
        worse = q + margin
        slope = block.canary * (worse - rate) / (worse * (1 - worse)) + block.stable * (q - rate) / (q * (1 - q))
        low, high = (low, q) if slope > 0 else (q, high)
    return (low + high) / 2
