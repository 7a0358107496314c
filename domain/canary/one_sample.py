"""Evidence that a rate lies above, or below, a fixed limit.

A mixture of likelihood ratios against the limit itself (Robbins 1970; Howard et al. 2021, "Time-uniform, nonparametric,
nonasymptotic confidence sequences"). Each ratio's expectation is at most one for every rate on the other side of the
limit, even if the rate changes over time.
"""

import math

from domain.canary.evidence import log_likelihood_ratio, log_mean

# The alternatives, as odds ratios to the limit; neighbours cover the rates in between.
ODDS_RATIOS = (1.5, 3.0, 9.0, 27.0, 81.0)


def log_above(hits: float, trials: float, limit: float) -> float:
    """Evidence against "the rate is at most `limit`"."""
    return _log_mixture(hits, trials, limit, 1)


def log_below(hits: float, trials: float, limit: float) -> float:
    """Evidence against "the rate is at least `limit`"."""
    return _log_mixture(hits, trials, limit, -1)


def logs_above(hits: float, trials: float, limit: float) -> tuple[float, ...]:
    """The gain of each bet of `log_above` from some requests."""
    return _logs(hits, trials, limit, 1)


def _log_mixture(hits: float, trials: float, limit: float, direction: int) -> float:
    return log_mean(_logs(hits, trials, limit, direction))


def _logs(hits: float, trials: float, limit: float, direction: int) -> tuple[float, ...]:
    others = (_shifted(limit, ratio**direction) for ratio in ODDS_RATIOS)
    return tuple(log_likelihood_ratio(hits, trials, other, limit) for other in others)


def _shifted(rate: float, ratio: float) -> float:
    """The rate whose odds are this multiple of the given odds."""
    return 1 / (1 + math.exp(-math.log(ratio)) * (1 - rate) / rate)
