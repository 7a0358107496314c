"""Evidence as e-values: what a bet against "all is well" has made of one coin.

If all is well, the chance that the coin ever becomes 1/alpha is at most alpha, at whatever moments one looks (Ville's
inequality). Everything here is the natural logarithm of such a value; a mean of e-values is an e-value.
"""

import math
from collections.abc import Sequence

_LARGEST = 690.0  # of a logarithm whose exponential is still a float


def log_mean(logs: Sequence[float]) -> float:
    """The logarithm of the mean of e-values: one bet on each of several alternatives, none known to be right."""
    top = max(logs)
    return top + math.log(math.fsum(math.exp(log - top) for log in logs) / len(logs))


def log_sum(*logs: float) -> float:
    """The logarithm of the sum of e-values."""
    return log_mean(logs) + math.log(len(logs))


def e_value(log: float) -> float:
    """The e-value itself, kept inside the numbers that JSON knows."""
    return math.exp(min(log, _LARGEST))


def odds(rate: float) -> float:
    """Odds of a rate between 0 and 1."""
    return rate / (1 - rate)


def log_likelihood_ratio(hits: float, trials: float, rate: float, null: float) -> float:
    """How much better one rate explains the hits than another; both strictly between 0 and 1."""
    return hits * math.log(rate / null) + (trials - hits) * math.log((1 - rate) / (1 - null))
