"""Bets that the canary is slower, at each of several quantiles of the stable side's latency.

Each quantile compares two rates: the canary's requests that take longer than the quantile plus the tolerance, and the
stable side's that take longer than the quantile. If the canary is nowhere slower by more than the tolerance, the first
rate is never higher. Rounding to buckets favours the canary.

Quantiles come from earlier requests, since a bet must not depend on the block it is applied to. If a block has more of
the stable side's requests than all before it (as the first one always has), the stake is spread over all bounds
instead. That needs no earlier data, so it is valid even if all requests are in one block.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

from domain.canary.counts import WindowCounts
from domain.canary.evidence import log_mean
from domain.canary.policy import AnalysisPolicy
from domain.canary.two_sample import ODDS_RATIOS, Block, log_at_once, log_bet

FAST_LEVELS = (0.1, 0.25)
SLOW_LEVELS = (0.5, 0.75, 0.9, 0.95, 0.99)
LEVELS = FAST_LEVELS + SLOW_LEVELS

Bets = tuple[tuple[float, ...], ...]
NO_BETS: Bets = ((0.0,) * len(ODDS_RATIOS),) * len(LEVELS)


class Thresholds(NamedTuple):
    """Indices of the compared bounds: the stable side's quantile, and the canary's allowance."""

    stable: int
    canary: int


def thresholds(stable: WindowCounts, level: float, policy: AnalysisPolicy) -> Thresholds | None:
    """The bounds for comparing a quantile, from the stable side's known requests; None: unknown or too high."""
    index = stable.quantile_index(level)
    if index is None:
        return None
    above = allowed_index(stable.bounds, index, policy)
    return None if above is None else Thresholds(index, above)


def allowed_index(bounds: Sequence[float], index: int, policy: AnalysisPolicy) -> int | None:
    """The first bound beyond the canary's allowance for this stable bound; None: there is none."""
    above = bisect_left(bounds, allowed_ms(bounds[index], policy))
    return above if above < len(bounds) else None


def allowed_ms(stable: float, policy: AnalysisPolicy) -> float:
    """The canary's allowance for a latency of the stable release."""
    return max(stable * (1 + policy.latency_tolerance / 100), stable + policy.min_latency_ms)


def can_be_compared(canary: WindowCounts, stable: WindowCounts) -> bool:
    """Whether both sides have latencies in the same buckets."""
    return bool(canary.timed and stable.timed) and canary.bounds == stable.bounds


def at_all_bounds(canary: WindowCounts, stable: WindowCounts, policy: AnalysisPolicy) -> list[tuple[Thresholds, Block]]:
    """All comparisons that the buckets allow: slower than a bound plus tolerance, against slower than the bound."""
    found = []
    for index in range(len(stable.bounds)):
        at = allowed_index(stable.bounds, index, policy)
        if at is not None:
            block = Block(canary.slower_than(at), canary.timed, stable.slower_than(index), stable.timed)
            found.append((Thresholds(index, at), block))
    return found


def log_all_bounds(canary: WindowCounts, stable: WindowCounts, policy: AnalysisPolicy) -> float:
    """Evidence of a single block, with the stake spread over all bounds; many of them have the same numbers."""
    blocks = [block for _, block in at_all_bounds(canary, stable, policy)]
    logs = {block: log_at_once(block) for block in set(blocks)}
    return log_mean([logs[block] for block in blocks]) if blocks else 0.0


def log_slower(
    bets: Bets, canary: WindowCounts, stable: WindowCounts, known: WindowCounts, policy: AnalysisPolicy
) -> Bets:
    """The bets after a block of both sides; the compared bounds depend only on earlier stable requests."""
    if not can_be_compared(canary, stable):
        return bets
    if known.bounds != stable.bounds or known.timed < stable.timed:
        gained = log_all_bounds(canary, stable, policy)
        slow = len(FAST_LEVELS)
        return (*bets[:slow], *(tuple(log + gained for log in row) for row in bets[slow:]))
    return tuple(
        _after(row, canary, stable, thresholds(known, level, policy)) for row, level in zip(bets, LEVELS, strict=True)
    )


def _after(
    row: tuple[float, ...], canary: WindowCounts, stable: WindowCounts, at: Thresholds | None
) -> tuple[float, ...]:
    if at is None:
        return row
    block = Block(canary.slower_than(at.canary), canary.timed, stable.slower_than(at.stable), stable.timed)
    return tuple(log + log_bet(block, ratio) for log, ratio in zip(row, ODDS_RATIOS, strict=True))


def log_levels(bets: Bets, levels: Sequence[float], design_effect: float) -> dict[float, float]:
    """Evidence at each of some quantiles."""
    return {level: log_mean([bet / design_effect for bet in bets[LEVELS.index(level)]]) for level in levels}
