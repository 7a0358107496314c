"""The rule of all fixed limits: they take evidence too, not one noisy sample."""

from typing import NamedTuple

from domain.canary.look import Look
from domain.canary.one_rate import log_above, log_below
from domain.canary.verdict import Finding, Metric
from domain.canary.words import evidence_words


class Rate(NamedTuple):
    """How many requests of how many were bad, and the share that may be."""

    hits: int
    trials: int
    limit: float

    @property
    def is_above(self) -> bool:
        return self.hits > self.limit * self.trials


def judged(look: Look, metric: Metric, rate: Rate, told: str, also: str = "") -> tuple[float, tuple[Finding, str]]:
    """Evidence that a rate is above its limit, and what is found.

    Args:
        look: at the canary.
        metric: whose limit it is.
        rate: the canary's.
        told: the beginning of the reason, with numbers.
        also: what is added to the reason if the rate is above.
    """
    hits, trials = rate.hits / look.policy.design_effect, rate.trials / look.policy.design_effect
    above = log_above(hits, trials, rate.limit)
    words = f"{told}, {evidence_words(above, look.log_limit(metric))}"
    if above >= look.log_limit(metric):
        return above, (Finding.HARM, f"{words}: above the limit{also}")
    if look.lacks(rate.trials):
        return above, (Finding.NO_DATA, f"{words}: {look.needed()} are needed")
    if look.last and rate.is_above:
        return above, (Finding.DOUBT, f"{words}: above the limit, but no proof{also}")
    if log_below(hits, trials, rate.limit) >= look.log_pass:
        return above, (Finding.GOOD, f"{words}: below the limit")
    return above, look.at_last(f"{words}: no evidence against it in the whole time", f"{words}: not decided")
