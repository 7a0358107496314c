"""Mann-Whitney's rank test for individual latencies. Valid for one look at the end only, not for repeated looks."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

SMALL_EFFECT = 0.147  # of Cliff's delta; 0.33 is medium, 0.474 large (Romano et al. 2006)


class RankTest(NamedTuple):
    """`p`: of canary being no slower; `delta`: Cliff's, from -1 (always faster) to 1 (always slower)."""

    p: float
    delta: float


def rank_test(canary: Sequence[float], stable: Sequence[float]) -> RankTest:
    """Whether the canary is slower; one-sided, normal approximation with ties and continuity. Neither may be empty."""
    n, m = len(canary), len(stable)
    counted = Counter(stable)
    counted.update(canary)
    rank, ranks = 0, {}
    for value in sorted(counted):
        ranks[value] = rank + (counted[value] + 1) / 2
        rank += counted[value]
    u = math.fsum(ranks[value] for value in canary) - n * (n + 1) / 2
    ties = sum(count**3 - count for count in counted.values()) / ((n + m) * (n + m - 1))
    spread = math.sqrt(n * m / 12 * max(n + m + 1 - ties, 0.0))
    p = 0.5 * math.erfc((u - n * m / 2 - 0.5) / spread / math.sqrt(2)) if spread else 1.0
    return RankTest(p, 2 * u / (n * m) - 1)
