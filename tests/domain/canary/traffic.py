"""Made traffic for the judge: two sides whose counters grow look by look."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np

from domain.canary.counts import SideCounts
from domain.canary.judge import judge
from domain.canary.policy import AnalysisPolicy
from domain.canary.state import JudgeState
from domain.canary.verdict import Judgement

START = datetime(2026, 1, 1, tzinfo=UTC)
BOUNDS = tuple(round(1.15**k, 3) for k in range(60))
ERRORS_ONLY = ("errors",)


@dataclass
class Side:
    """Requests a look, their error rate, and their latency: lognormal about a median."""

    per_look: int
    error_rate: float = 0.01
    median_ms: float = 100
    spread: float = 0.3
    epoch: str = ""
    requests: int = 0
    errors: int = 0
    below: np.ndarray = field(default_factory=lambda: np.zeros(len(BOUNDS), int))

    def serve(self, random: np.random.Generator) -> SideCounts:
        self.requests += self.per_look
        self.errors += int(random.binomial(self.per_look, self.error_rate))
        took = self.median_ms * np.exp(self.spread * random.standard_normal(self.per_look))
        self.below = self.below + (took[:, None] <= np.array(BOUNDS)).sum(axis=0)
        return SideCounts(
            epoch=self.epoch,
            requests=self.requests,
            errors=self.errors,
            bounds=BOUNDS,
            at_or_below=tuple(int(count) for count in self.below),
        )

    def restart(self, epoch: str) -> None:
        self.epoch, self.requests, self.errors, self.below = epoch, 0, 0, np.zeros(len(BOUNDS), int)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def analyse(policy: AnalysisPolicy, canary: Side, stable: Side | None, *, seed: int = 1, every: float = 1) -> Judgement:
    """Look until the judgement is final."""
    random = np.random.default_rng(seed)
    state, seconds = JudgeState.begin(START), 0.0
    while True:
        seconds += every
        theirs = None if stable is None else stable.serve(random)
        judgement, state = judge(policy, state, theirs, canary.serve(random), at(seconds))
        assert judgement.reasons
        if judgement.final:
            return judgement
