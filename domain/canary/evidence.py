"""Evidence as e-values: the wealth of a bet against "all is well" that started with 1.

If all is well, the probability that the wealth ever reaches 1/alpha is at most alpha, at any number of looks (Ville's
inequality). All functions use the natural logarithm of such a value; a mean of e-values is an e-value.
"""

import math
from collections.abc import Sequence

_LARGEST = 690.0  # the largest logarithm whose exponential is still a float


def log_mean(logs: Sequence[float]) -> float:
    """The logarithm of the mean of e-values: bets on several alternatives, any of which may be true."""
    top = max(logs)
    return top + math.log(math.fsum(math.exp(log - top) for log in logs) / len(logs))


def log_sum(*logs: float) -> float:
    """The logarithm of the sum of e-values."""
    return log_mean(logs) + math.log(len(logs))


def e_value(log: float) -> float:
    """The e-value itself, limited to the numbers of JSON."""
    return math.exp(min(log, _LARGEST))


def odds(rate: float) -> float:
    """Odds of a rate between 0 and 1."""
    return rate / (1 - rate)


def log_likelihood_ratio(hits: float, trials: float, rate: float, null: float) -> float:
    """The log likelihood ratio of two rates for the hits; both strictly between 0 and 1."""
    return hits * math.log(rate / null) + (trials - hits) * math.log((1 - rate) / (1 - null))
