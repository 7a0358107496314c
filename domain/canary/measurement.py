"""One measurement (a look, in the terms of sequential tests): the input of each metric's report."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from domain.canary.compared import Compared
from domain.canary.counts import WindowCounts
from domain.canary.evidence import e_value
from domain.canary.formatting import requests
from domain.canary.policy import AnalysisPolicy, Comparison
from domain.canary.state import JudgeState
from domain.canary.verdict import Figures, Finding, Metric, MetricReport

_SHARES = {Metric.ERROR_RATE: 4, Metric.LATENCY: 2, Metric.ERROR_RATE_LIMIT: 1, Metric.P95_LIMIT: 1}
LOG_DOUBTFUL = math.log(10)
"""Evidence below the limit, but too strong for a pass at the end. At most one good release in ten reaches it."""


@dataclass(frozen=True)
class Measurement:
    """State after the readings, and whether it is the last look. Samples (ms) are only there at the last."""

    policy: AnalysisPolicy
    state: JudgeState
    last: bool
    canary_samples: tuple[float, ...] = ()
    stable_samples: tuple[float, ...] = ()

    @property
    def canary(self) -> WindowCounts:
        return self.state.canary.total

    @property
    def stable(self) -> WindowCounts:
        return self.state.stable.total

    @property
    def has_stable(self) -> bool:
        """Whether there is a stable release to compare with."""
        return self.state.stable.seen is not None

    def metrics(self) -> tuple[Metric, ...]:
        """The metrics to judge."""
        compared = {
            Metric.ERROR_RATE: Comparison.ERRORS,
            Metric.CLIENT_ERRORS: Comparison.ERRORS,
            Metric.LATENCY: Comparison.LATENCY,
            Metric.LATENCY_SHAPE: Comparison.LATENCY,
        }
        found = [metric for metric, wish in compared.items() if self.has_stable and wish in self.policy.compare]
        if not self._knows_client_errors:
            found = [metric for metric in found if metric is not Metric.CLIENT_ERRORS]
        return (*found, *_limited(self.policy))

    @property
    def _knows_client_errors(self) -> bool:
        sides = (self.state.canary.seen, self.state.stable.seen)
        return all(side is not None and side.client_errors is not None for side in sides)

    def not_judged(self) -> str:
        """Metrics that should be judged but are not counted, in words; empty: none."""
        policy = self.policy
        sides = {"canary": self.state.canary.seen, "stable": self.state.stable.seen}
        seen = {name: side for name, side in sides.items() if side is not None}
        unknown = [name for name, side in seen.items() if side.client_errors is None]
        if not unknown or (policy.max_error_rate is None and Comparison.ERRORS not in policy.compare):
            return ""
        if not policy.tells_client_errors:
            return "4xx are not judged: the queries for Prometheus do not tell them; count them in prometheus.errors"
        if len(unknown) < len(seen) or policy.asks_for_client_errors:
            return f"4xx are not judged: they are not known of {' and '.join(unknown)}"
        return ""

    def log_limit(self, metric: Metric) -> float:
        """The evidence at which a metric fails: its share of alpha (Bonferroni, weighted), from the policy only."""
        wished = [Metric(name) for name, wish in _BY_WISH.items() if wish in self.policy.compare]
        parts = sum(_SHARES[each] for each in {*wished, *_limited(self.policy), metric})
        return math.log(parts / (_SHARES[metric] * self.policy.alpha))

    @property
    def log_pass(self) -> float:
        """The evidence of no harm that allows an early pass."""
        return math.log(1 / self.policy.beta)

    def needed(self) -> str:
        """The number of requests that each side needs before a pass."""
        return requests(math.ceil(self.policy.min_requests * self.policy.design_effect))

    def lacks(self, *counts: int) -> bool:
        """Whether a side has no requests, or at the last look fewer (independent ones) than the policy requires."""
        least = min(counts)
        return not least or (self.last and self.too_few(least))

    def too_few(self, count: int) -> bool:
        """Whether these are fewer (independent) requests than the policy requires."""
        return count < self.policy.min_requests * self.policy.design_effect

    @property
    def has_enough(self) -> bool:
        """Whether the canary had enough requests for a pass."""
        return not self.too_few(self.canary.requests)

    def at_last(self, good: str, undecided: str) -> tuple[Finding, str]:
        """The finding if there is no evidence."""
        return (Finding.GOOD, good) if self.last else (Finding.OPEN, undecided)

    def decided(self, words: str, compared: Compared) -> tuple[Finding, str]:
        """`at_last` for a comparison: a missing finding only counts if enough requests were compared."""
        if self.last and self.too_few(compared.least):
            return Finding.NO_DATA, (
                f"{words}: only {requests(compared.least)} could be compared with the other side's of the same time, "
                f"{self.needed()} are needed"
            )
        return self.at_last(f"{words}: no evidence of harm in the whole time", f"{words}: not decided")

    def report(
        self, metric: Metric, log: float, found: tuple[Finding, str], canary: Figures, stable: Figures | None = None
    ) -> MetricReport:
        """A report with its evidence."""
        limit = e_value(self.log_limit(metric))
        finding, reason = found
        return MetricReport(
            metric=metric,
            finding=finding,
            reason=reason,
            canary=canary,
            stable=stable,
            evidence=round(e_value(log), 4),
            limit=round(limit, 4),
        )


_BY_WISH = {Metric.ERROR_RATE: Comparison.ERRORS, Metric.LATENCY: Comparison.LATENCY}


def _limited(policy: AnalysisPolicy) -> Sequence[Metric]:
    limits = {Metric.ERROR_RATE_LIMIT: policy.max_error_rate, Metric.P95_LIMIT: policy.max_p95_ms}
    return [metric for metric, limit in limits.items() if limit is not None]
