"""The question and the error probabilities of an analysis: the `analysis` section of `delivery.yaml`."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, model_validator

from domain.canary.error_kinds import SERVER_ERRORS, ErrorKinds
from domain.canary.metric_source import MetricSource, PrometheusQueries
from domain.stored import STORED_CONFIG


class Comparison(StrEnum):
    """The comparisons with the stable release over the same time."""

    ERRORS = "errors"
    LATENCY = "latency"


# Fields that only a completely stored policy has, besides `pass_early`; no user writes all of them.
_WHOLE = frozenset({"alpha", "beta", "min_effect", "latency_tolerance", "min_latency_ms", "design_effect"}) | {
    "failure_limit",
    "error_limit",
    "on_inconclusive",
}


class AnalysisPolicy(BaseModel):
    """Limits, error probabilities and patience of one analysis.

    `alpha` is joint: the probability that any metric fails a release that is no worse than the stable one, at any
    number of looks. The default is 1 %: a team that ships ten times a day sees at most one false rollback in two weeks.
    It needs log(100)/log(20) times, about 1.5 times, the requests of 5 %.
    """

    model_config = STORED_CONFIG

    duration: float = Field(default=300, gt=0, le=86_400, description="seconds that are watched to their end")
    min_requests: int = Field(
        default=100, ge=1, le=1_000_000_000, description="of each side, below which nothing is passed"
    )
    pass_early: bool = Field(default=False, description="pass before the end when the evidence is in")
    alpha: float = Field(
        default=0.01, ge=1e-6, le=0.5, description="risk of failing a good release, all metrics together"
    )
    beta: float = Field(default=0.05, ge=1e-6, le=0.5, description="risk of passing early what is worse by min_effect")
    compare: tuple[Comparison, ...] = Field(
        default=(Comparison.ERRORS, Comparison.LATENCY), max_length=2, description="with the stable release"
    )
    errors: ErrorKinds = Field(
        default=SERVER_ERRORS, description="answers that count as errors: 5xx, 4xx, or codes such as 404"
    )
    max_error_rate: float | None = Field(default=None, gt=0, lt=100, description="percent of requests")
    max_p95_ms: float | None = Field(default=None, gt=0, le=86_400_000, description="milliseconds")
    min_effect: float = Field(default=0.5, ge=0.01, le=50, description="percentage points of errors that matter")
    latency_tolerance: float = Field(default=20, ge=0, le=1000, description="percent slower that is accepted")
    min_latency_ms: float = Field(default=5, ge=0, description="milliseconds slower that are always accepted")
    design_effect: float = Field(default=1, ge=1, le=10_000, description="requests that are worth one independent one")
    failure_limit: int = Field(
        default=0, ge=0, le=1000, description="failed looks, counted together, that are forgiven"
    )
    error_limit: int = Field(default=4, ge=0, le=1000, description="looks in a row that could not measure")
    on_inconclusive: Literal["pause", "pass", "fail"] = Field(default="pause", description="what the rollout does then")
    provider: MetricSource = Field(default=MetricSource.ROUTER, description="who counts the requests")
    prometheus: PrometheusQueries | None = Field(
        default=None, description="what the provider prometheus asks for; the server is the operator's setting"
    )

    @model_validator(mode="before")
    @classmethod
    def _early_is_asked_for(cls, given: Any) -> Any:
        """A complete policy stored by a release without `errors` contains that release's default, `pass_early: true`.

        Whether a user wrote it is unknown, so it is ignored: the analysis runs to its end.
        """
        if isinstance(given, Mapping) and given.get("pass_early") is True and "errors" not in given:
            return {**given, "pass_early": False} if given.keys() >= _WHOLE else given
        return given

    @model_validator(mode="after")
    def _provider_has_its_queries(self) -> Self:
        if (self.provider is MetricSource.PROMETHEUS) != (self.prometheus is not None):
            msg = (
                "the section prometheus and `provider: prometheus` belong together: give prometheus.requests and "
                "prometheus.errors with it, and no such section without it"
            )
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _latency_is_measured_where_it_is_judged(self) -> Self:
        judged = Comparison.LATENCY in self.compare or self.max_p95_ms is not None
        if judged and self.prometheus is not None and self.prometheus.latency_buckets is None:
            msg = (
                "latency is to be judged, but prometheus.latency_buckets does not say where it is: "
                "give that query, or set `compare: [errors]` and no max_p95_ms"
            )
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _errors_are_told_by_who_counts(self) -> Self:
        if self.provider is MetricSource.PROMETHEUS and self.errors != SERVER_ERRORS:
            msg = "with `provider: prometheus` the query prometheus.errors says what an error is; leave errors out"
            raise ValueError(msg)
        return self

    @property
    def asks_for_client_errors(self) -> bool:
        """Whether some 4xx are to count as errors."""
        return any(kind.startswith("4") for kind in self.errors)

    @property
    def tells_client_errors(self) -> bool:
        """Whether the source counts 4xx separately; queries for Prometheus do not."""
        return self.provider is MetricSource.ROUTER

    @property
    def has_limits(self) -> bool:
        """Whether a release can be judged without another one to compare with."""
        return self.max_error_rate is not None or self.max_p95_ms is not None
