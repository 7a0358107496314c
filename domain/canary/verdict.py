"""The judge's answer: a verdict, whether it is final, and the figures and reason of each metric."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class Verdict(StrEnum):
    """Of the analysis as a whole. While it runs, the verdict is `inconclusive` and not final."""

    PASS = "pass"  # noqa: S105 - a verdict, no password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


class Metric(StrEnum):
    """The judged metrics."""

    ERROR_RATE = "error_rate"
    ERROR_RATE_LIMIT = "error_rate_limit"
    CLIENT_ERRORS = "client_errors"
    LATENCY = "latency"
    LATENCY_SHAPE = "latency_shape"
    P95_LIMIT = "p95_limit"


class Finding(StrEnum):
    """The finding of one metric: `open` needs more requests, `doubt` is not good enough for a pass at the end."""

    GOOD = "good"
    HARM = "harm"
    DOUBT = "doubt"
    OPEN = "open"
    NO_DATA = "no_data"


class Figures(BaseModel):
    """One side's figures. `value` is a percentage, or ms; `low` and `high` are its interval, if known."""

    model_config = ConfigDict(frozen=True)

    requests: int
    bad: int | None = Field(default=None, description="requests that failed, or were slower than the limit")
    value: float | None = None
    low: float | None = None
    high: float | None = None


class MetricReport(BaseModel):
    """One metric. It fails when `evidence` (an e-value) reaches `limit`; both are None if it is decided otherwise."""

    model_config = ConfigDict(frozen=True)

    metric: Metric
    finding: Finding
    reason: str
    canary: Figures
    stable: Figures | None = None
    evidence: float | None = None
    limit: float | None = None


class Judgement(BaseModel):
    """The result of one look. `final`: the analysis is over; `early`: it passed before its time was up."""

    model_config = ConfigDict(frozen=True)

    verdict: Verdict
    final: bool
    early: bool = False
    reasons: tuple[str, ...] = Field(min_length=1)
    metrics: tuple[MetricReport, ...] = ()
    elapsed_seconds: float = Field(default=0, description="since the analysis started")
    gaps: int = Field(default=0, description="looks lost because counters began anew")
    failed: int = Field(default=0, description="looks that failed, together")
    unmeasured: int = Field(default=0, description="looks in a row that could not measure")
