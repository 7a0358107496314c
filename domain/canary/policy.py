"""What an analysis is to decide, and with what risk: the `analysis` section of `delivery.yaml`."""

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Comparison(StrEnum):
    """What is compared with the stable release over the same time."""

    ERRORS = "errors"
    LATENCY = "latency"


class AnalysisPolicy(BaseModel):
    """Limits, risks and patience of one analysis.

    `alpha` is joint: the chance that a release no worse than the stable one is failed by any of the metrics, however
    often is looked. One in a hundred by default: a team that ships ten times a day sees a needless rollback every two
    weeks at most, and it costs log(100)/log(20), half as many requests again as 5 % would.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    duration: float = Field(default=300, gt=0, le=86_400, description="seconds until a decision is due")
    min_requests: int = Field(default=100, ge=1, description="of each side, below which nothing is passed")
    pass_early: bool = Field(default=True, description="pass before the end when the evidence is in")
    alpha: float = Field(
        default=0.01, ge=1e-6, le=0.5, description="risk of failing a good release, all metrics together"
    )
    beta: float = Field(default=0.05, ge=1e-6, le=0.5, description="risk of passing early what is worse by min_effect")
    compare: tuple[Comparison, ...] = Field(
        default=(Comparison.ERRORS, Comparison.LATENCY), max_length=2, description="with the stable release"
    )
    max_error_rate: float | None = Field(default=None, gt=0, lt=100, description="percent of requests")
    max_p95_ms: float | None = Field(default=None, gt=0, description="milliseconds")
    min_effect: float = Field(default=0.5, ge=0.01, le=50, description="percentage points of errors that matter")
    latency_tolerance: float = Field(default=20, ge=0, le=1000, description="percent slower that is accepted")
    min_latency_ms: float = Field(default=5, ge=0, description="milliseconds slower that are always accepted")
    design_effect: float = Field(default=1, ge=1, le=10_000, description="requests that are worth one independent one")
    failure_limit: int = Field(
        default=0, ge=0, le=1000, description="failed looks, counted together, that are forgiven"
    )
    error_limit: int = Field(default=4, ge=0, le=1000, description="looks in a row that could not measure")
    on_inconclusive: Literal["pause", "pass", "fail"] = Field(default="pause", description="what the rollout does then")

    @property
    def has_limits(self) -> bool:
        """Whether a release can be judged without another one to compare with."""
        return self.max_error_rate is not None or self.max_p95_ms is not None
