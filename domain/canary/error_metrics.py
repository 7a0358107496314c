"""Reports on the error rates: compared with the stable release, and against the policy's limit."""

from collections.abc import Sequence

from domain.canary.counts import WindowCounts
from domain.canary.evidence import log_mean
from domain.canary.formatting import evidence_words, number, share
from domain.canary.late import log_compared
from domain.canary.measurement import LOG_DOUBTFUL, Measurement
from domain.canary.threshold_test import Rate, judged
from domain.canary.two_sample import Block, log_at_once
from domain.canary.verdict import Figures, Finding, Metric, MetricReport

_PERCENT = 100


def error_rate(measurement: Measurement) -> MetricReport:
    """The canary's errors compared with the stable release's over the same time."""
    first = log_mean([bet / measurement.policy.design_effect for bet in measurement.state.worse])
    late = measurement.state.late
    worse = log_compared(first, late.worse, late.placed_compared, last=measurement.last)
    return measurement.report(
        Metric.ERROR_RATE,
        worse,
        _compared(measurement, worse),
        _figures(measurement.canary),
        _figures(measurement.stable),
    )


def _compared(measurement: Measurement, worse: float) -> tuple[Finding, str]:
    canary, stable = measurement.canary, measurement.stable
    words = (
        f"error rate: canary {share(canary.errors, canary.requests)}, stable {share(stable.errors, stable.requests)}"
        f"{_lately(measurement, worse)}, {evidence_words(worse, measurement.log_limit(Metric.ERROR_RATE))}"
    )
    if worse >= measurement.log_limit(Metric.ERROR_RATE):
        return Finding.HARM, f"{words}: the canary fails more often"
    if measurement.lacks(canary.requests, stable.requests):
        return Finding.NO_DATA, f"{words}: {measurement.needed()} of each are needed"
    if measurement.last and worse >= LOG_DOUBTFUL:
        return Finding.DOUBT, f"{words}: no proof, but too much to pass on"
    if measurement.last and log_at_once(_block(measurement)) / measurement.policy.design_effect >= LOG_DOUBTFUL:
        return Finding.DOUBT, f"{words}: no proof, but taken together the numbers are too bad to pass on"
    if measurement.state.not_worse / measurement.policy.design_effect >= measurement.log_pass:
        points = number(measurement.policy.min_effect)
        return Finding.GOOD, f"{words}: the canary is not worse by {points} percentage points"
    return measurement.decided(words, measurement.state.compared)


def _lately(measurement: Measurement, worse: float) -> str:
    """The last part of the time, if it is stronger evidence against the canary than the whole."""
    if worse < LOG_DOUBTFUL:
        return ""
    whole = _block(measurement)
    parts = {mark.at_s: Block(*_since(whole, (*mark.canary, *mark.stable))) for mark in measurement.state.late.marks}
    told = {at_s: log_at_once(part) for at_s, part in parts.items() if part.canary and part.stable}
    at_s = max(told, key=told.__getitem__, default=0.0)
    if not told or told[at_s] <= log_at_once(whole):
        return ""
    part = parts[at_s]
    mine, theirs = share(part.canary_hits, part.canary), share(part.stable_hits, part.stable)
    return f"; from {number(at_s)} s on canary {mine}, stable {theirs}"


def _since(now: Sequence[int], then: Sequence[int]) -> list[int]:
    return [one - other for one, other in zip(now, then, strict=True)]


def _block(measurement: Measurement) -> Block:
    """All counts, compared or not."""
    return Block(
        measurement.canary.errors, measurement.canary.requests, measurement.stable.errors, measurement.stable.requests
    )


def error_rate_limit(measurement: Measurement) -> MetricReport:
    """The canary's errors against `max_error_rate`, whatever the stable release does."""
    canary, limit = measurement.canary, measurement.policy.max_error_rate or _PERCENT
    told = f"error rate limit {number(limit)} %: canary {share(canary.errors, canary.requests)}"
    late = measurement.state.late
    marks = [(mark.at_s, *mark.canary) for mark in late.marks]
    rate = Rate(canary.errors, canary.requests, limit / _PERCENT, late.errors_above, marks)
    above, (finding, reason) = judged(
        measurement, Metric.ERROR_RATE_LIMIT, rate, told, _also(measurement.stable, limit)
    )
    found = finding, reason + _refusing(canary)
    return measurement.report(Metric.ERROR_RATE_LIMIT, above, found, _figures(measurement.canary))


def _also(stable: WindowCounts, limit: float) -> str:
    if stable.errors * _PERCENT <= limit * stable.requests:
        return ""
    return f"; so is the stable release with {share(stable.errors, stable.requests)}"


def _refusing(canary: WindowCounts) -> str:
    """Without another side to compare with, 4xx are at least mentioned."""
    if not canary.client_errors:
        return ""
    return f"; besides, 4xx that do not count as errors: {share(canary.client_errors, canary.requests)}"


def _figures(counts: WindowCounts) -> Figures:
    return rate_figures(counts.errors, counts.requests)


def rate_figures(bad: int, trials: int) -> Figures:
    """A rate in percent, rounded."""
    return Figures(requests=trials, bad=bad, value=round(_PERCENT * bad / trials, 4) if trials else None)
