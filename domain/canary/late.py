"""Evidence of faults that begin late: bets that are added throughout the analysis.

The figures of the whole time hide a fault that begins near its end: 20 % errors for the last tenth are 2 % of all. So a
part of each stake is not bet at the beginning but spread evenly over the duration; each of these bets counts only what
comes after it. The times of the bets do not depend on the data, so that the first bet, all later ones and the remaining
stake together are one e-value (a mixture over the moments at which a change may begin; Shiryaev 1963, and Shin, Ramdas
and Rinaldo 2024, "E-detectors"), and alpha holds for it.
"""

import math
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from domain.canary.counts import WindowCounts
from domain.canary.error_rate import EFFECTS
from domain.canary.evidence import log_mean, log_sum
from domain.canary.latency_evidence import LEVELS, Bets
from domain.canary.one_sample import ODDS_RATIOS as LIMIT_RATIOS
from domain.canary.two_sample import ODDS_RATIOS

PART = 0.2
"""The part of each stake that is spread over the time; the first bet has the rest."""
NOTHING = -1000.0
"""Logarithm of a bet that was not placed; JSON has no minus infinity."""
MARKS = 16


class Mark(BaseModel):
    """The counts at some moment of the analysis, to report what came later."""

    model_config = ConfigDict(frozen=True)

    at_s: float
    canary: tuple[int, int] = Field(description="errors, requests")
    stable: tuple[int, int]
    slow: tuple[int, int] = Field(description="of the canary: requests above the p95 limit, of so many with latency")


class Late(BaseModel):
    """The late bets, as in `JudgeState`: logarithms that include stake and design effect.

    `placed_compared` and `placed_counted` are the parts of the time whose stake has been bet.
    """

    model_config = ConfigDict(frozen=True)

    worse: tuple[float, ...] = (NOTHING,) * EFFECTS
    slower: Bets = ((NOTHING,) * len(ODDS_RATIOS),) * len(LEVELS)
    refused_more: tuple[float, ...] = (NOTHING,) * len(ODDS_RATIOS)
    refused_fewer: tuple[float, ...] = (NOTHING,) * len(ODDS_RATIOS)
    errors_above: tuple[float, ...] = (NOTHING,) * len(LIMIT_RATIOS)
    p95_above: tuple[float, ...] = (NOTHING,) * len(LIMIT_RATIOS)
    placed_compared: float = 0.0
    placed_counted: float = 0.0
    marks: tuple[Mark, ...] = ()

    def marked(self, at_s: float, duration: float, canary: WindowCounts, stable: WindowCounts, slow: int) -> "Late":
        """With a mark of the present counts, if the last mark is old enough."""
        if self.marks and at_s - self.marks[-1].at_s < duration / MARKS:
            return self
        mark = Mark(
            at_s=at_s,
            canary=(canary.errors, canary.requests),
            stable=(stable.errors, stable.requests),
            slow=(slow, canary.timed),
        )
        return self.model_copy(update={"marks": (*self.marks, mark)[-MARKS - 1 :]})


def log_stake(placed: float, until: float) -> float:
    """The stake for the time between two parts of the duration."""
    return math.log(PART * (until - placed)) if until > placed else NOTHING


def after(bets: Sequence[float], stake: float, gains: Sequence[float], design_effect: float) -> tuple[float, ...]:
    """The late bets after a block: each gets its new stake before the block is applied."""
    return tuple(
        max(log_sum(bet, stake) + gain / design_effect, NOTHING) for bet, gain in zip(bets, gains, strict=True)
    )


def log_with_late(first: float, late: Sequence[float], placed: float) -> float:
    """The evidence of the first bet, of all later ones, and of the remaining stake."""
    return log_sum(_from_beginning(first, placed), log_mean(late))


def log_compared(first: float, late: Sequence[float], placed: float, *, last: bool) -> float:
    """`log_with_late` of a comparison: late bets only count at the last look, before a pass.

    Before that, the first bet is enough: a comparison's smallest bet loses little while all is well. And errors come in
    bursts: in a long analysis, a new bet just before a burst would be won by chance (measured in
    `docs/canary-judge.md`: sticky users).
    """
    return log_with_late(first, late, placed) if last else _from_beginning(first, placed)


def _from_beginning(first: float, placed: float) -> float:
    waiting = math.log(PART * (1 - placed)) if placed < 1 else NOTHING
    return log_sum(first + math.log(1 - PART), waiting)
