"""What others do on the same traffic: a fixed threshold (Flagger), a rank test (Kayenta); and Wald's bound."""

import math

import numpy as np
from numpy.typing import NDArray

from tests.domain.canary.simulation import NEVER, Ints

Floats = NDArray[np.float64]
THRESHOLD = 0.01  # Flagger's request-success-rate of 99 %
CHECKS = 5  # failed checks until it rolls back, as in its documentation
KAYENTA_Z = 2.326  # 98 % confidence, two-sided, its default


def divergence(p: float, q: float) -> float:
    """KL of two Bernoulli rates, in nats."""
    return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))


def wald_bound(alpha: float, good: float, bad: float) -> float:
    """The fewest canary requests, on average, of any sequential test of that alpha that knows both rates."""
    return math.log(1 / alpha) / divergence(bad, good)


def split_bound(alpha: float, good: float, bad: float, stable: int) -> float:
    """The same for tests that know the stable rate only by so many stable requests beside each of the canary's."""
    pooled = (bad + stable * good) / (1 + stable)
    return math.log(1 / alpha) / (divergence(bad, pooled) + stable * divergence(good, pooled))


def flagger(rate: float, per_check: int, *, checks: int, runs: int, seed: int = 1) -> Ints:
    """The check (from 1) at which the fifth one has failed; NEVER if it has not."""
    errors = np.random.default_rng(seed).binomial(per_check, rate, (runs, checks))
    failed = np.cumsum(errors > THRESHOLD * per_check, axis=1) >= CHECKS
    return np.where(failed.any(axis=1), failed.argmax(axis=1) + 1, NEVER)


def minutes(rate: float, per_minute: int, *, length: int, runs: int, seed: int) -> Floats:
    """Error rates minute by minute, what Kayenta compares."""
    return np.random.default_rng(seed).binomial(per_minute, rate, (runs, length)) / per_minute


def kayenta_fails(canary: Floats, stable: Floats) -> NDArray[np.bool_]:
    """Mann-Whitney on the minutes of each run, ties corrected: significantly higher."""
    n, m = canary.shape[1], stable.shape[1]
    u = (canary[:, :, None] > stable[:, None, :]).sum((1, 2)) + (canary[:, :, None] == stable[:, None, :]).sum(
        (1, 2)
    ) / 2
    both = np.concatenate([canary, stable], axis=1)
    same = (both[:, :, None] == both[:, None, :]).sum(axis=2)
    ties = (same.astype(float) ** 2 - 1).sum(axis=1) / ((n + m) * (n + m - 1))
    spread = np.sqrt(n * m / 12 * np.maximum(n + m + 1 - ties, 1e-9))
    found: NDArray[np.bool_] = (u - n * m / 2 - 0.5) / spread > KAYENTA_Z
    return found
