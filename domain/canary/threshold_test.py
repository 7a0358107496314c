"""The test behind all fixed limits: they need evidence too, not one noisy sample."""

from collections.abc import Sequence
from typing import NamedTuple

from domain.canary.formatting import evidence_words, number, share
from domain.canary.late import log_with_late
from domain.canary.measurement import LOG_DOUBTFUL, Measurement
from domain.canary.one_sample import log_above, log_below
from domain.canary.verdict import Finding, Metric


class Rate(NamedTuple):
    """A rate of bad requests, and its limit.

    `late`: the bets spread over the time. `marks`: earlier counts, (seconds, hits, trials) each.
    """

    hits: int
    trials: int
    limit: float
    late: Sequence[float]
    marks: Sequence[tuple[float, int, int]]

    @property
    def is_above(self) -> bool:
        return self.hits > self.limit * self.trials

    def lately(self) -> str:
        """The strongest evidence in a last part of the time, in words; empty if no such part is above the limit."""
        parts = [(at_s, self.hits - hits, self.trials - trials) for at_s, hits, trials in self.marks]
        above = [part for part in parts if 0 <= part[1] <= part[2] and part[1] > self.limit * part[2]]
        if not above:
            return ""
        at_s, hits, trials = max(above, key=lambda part: log_above(part[1], part[2], self.limit))
        return f"; from {number(at_s)} s on {share(hits, trials)}"


def judged(
    measurement: Measurement, metric: Metric, rate: Rate, told: str, also: str = ""
) -> tuple[float, tuple[Finding, str]]:
    """Evidence that a rate is above its limit, and the finding.

    Args:
        measurement: of the canary.
        metric: of the limit.
        rate: the canary's.
        told: the beginning of the reason, with numbers.
        also: appended to the reason if the rate is above the limit.
    """
    hits, trials = rate.hits / measurement.policy.design_effect, rate.trials / measurement.policy.design_effect
    first = log_above(hits, trials, rate.limit)
    above = log_with_late(first, rate.late, measurement.state.late.placed_counted)
    words = f"{told}{'' if rate.is_above else rate.lately()}, {evidence_words(above, measurement.log_limit(metric))}"
    if above >= measurement.log_limit(metric):
        return above, (Finding.HARM, f"{words}: above the limit{also}")
    if measurement.lacks(rate.trials):
        return above, (Finding.NO_DATA, f"{words}: {measurement.needed()} are needed")
    if measurement.last and rate.is_above:
        return above, (Finding.DOUBT, f"{words}: above the limit, but no proof{also}")
    if measurement.last and above >= LOG_DOUBTFUL:
        return above, (Finding.DOUBT, f"{words}: no proof, but too much to pass on{also}")
    if log_below(hits, trials, rate.limit) >= measurement.log_pass:
        return above, (Finding.GOOD, f"{words}: below the limit")
    return above, measurement.at_last(f"{words}: no evidence against it in the whole time", f"{words}: not decided")
