"""Evidence that the canary's rate is higher than the stable side's; both may be anything and change over time.

Block by block, as the 2x2 e-variables of Turner, Ly and Grünwald (2024, "Generic E-variables for exact sequential
k-sample tests that allow for optional stopping"), but conditional on the block's number of hits (Fisher): if both rates
are equal, the canary's number of hits is hypergeometric for any rate, so the rate need not be known or estimated. The
bet on odds ratio r multiplies the e-value by r^hits / E[r^hits].
"""

import math
from typing import NamedTuple

from domain.canary.evidence import log_mean

ODDS_RATIOS = (1.5, 3.0, 9.0, 27.0, 81.0)
"""The alternatives if the size of the effect is unknown; neighbours cover the ratios in between."""
_NEGLIGIBLE = 1e-17


class Block(NamedTuple):
    """Trials of both sides over the same stretch of time, and how many of them hit (failed, or were slow)."""

    canary_hits: int
    canary: int
    stable_hits: int
    stable: int


def log_bet(block: Block, ratio: float) -> float:
    """The logarithm of a block's factor for the bet that the odds ratio is `ratio` (above 1).

    The factor's expectation is one if the rates are equal, and less if the canary's is lower.
    """
    return block.canary_hits * math.log(ratio) - log_expected_power(block, ratio)


def log_at_once(block: Block) -> float:
    """Evidence of a single block that the canary's rate is higher: the mean of a bet on each of the ratios."""
    return log_mean([log_bet(block, ratio) for ratio in ODDS_RATIOS])


def log_expected_power(block: Block, ratio: float) -> float:
    """Logarithm of E[ratio^J] for the number J of hits on the canary if hits are distributed randomly."""
    if not block.canary or not block.stable:
        return (block.canary_hits if block.canary else 0) * math.log(ratio)
    hits = block.canary_hits + block.stable_hits
    mode = _mode(block, hits, ratio)
    around = _sum_around(block, hits, ratio, mode)
    share = _log_choose(block.canary, mode) + _log_choose(block.stable, hits - mode)
    return share + mode * math.log(ratio) + math.log(around) - _log_choose(block.canary + block.stable, hits)


def _growth(block: Block, hits: int, ratio: float, j: int) -> float:
    """The ratio of the weights of j + 1 and j hits on the canary; decreases with j."""
    return ratio * (block.canary - j) * (hits - j) / ((j + 1) * (block.stable - hits + j + 1))


def _mode(block: Block, hits: int, ratio: float) -> int:
    """The most likely number of hits on the canary, by bisection."""
    low, high = max(0, hits - block.stable), min(block.canary, hits)
    while low < high:
        middle = (low + high) // 2
        if _growth(block, hits, ratio, middle) > 1:
            low = middle + 1
        else:
            high = middle
    return low


def _sum_around(block: Block, hits: int, ratio: float, mode: int) -> float:
    """The sum of all weights relative to the mode's: outwards in both directions until they are negligible."""
    total = term = 1.0
    for j in range(mode, min(block.canary, hits)):
        term *= _growth(block, hits, ratio, j)
        total += term
        if term < _NEGLIGIBLE:
            break
    term = 1.0
    for j in range(mode - 1, max(0, hits - block.stable) - 1, -1):
        term /= _growth(block, hits, ratio, j)
        total += term
        if term < _NEGLIGIBLE:
            break
    return total


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
