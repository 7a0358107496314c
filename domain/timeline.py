"""The timeline of a deployment: figures of both sides, evidence, and events."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from domain.canary.counts import WindowCounts
from domain.canary.state import JudgeState, SideState
from domain.canary.verdict import Judgement
from domain.lifecycle import DeploymentStatus

QUANTILES = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}
# The states in which a deployment waits, and for whom.
WAITS = {
    DeploymentStatus.AWAITING_APPROVAL: "people",
    DeploymentStatus.PAUSED: "people",
    DeploymentStatus.QUEUED: "lock",
}


class Kind(StrEnum):
    """The kind of an entry."""

    SAMPLE = "sample"
    WEIGHT = "weight"
    VERDICT = "verdict"
    STATUS = "status"


@dataclass(frozen=True)
class Wait:
    """`waits_for`: "people" or "lock". `end`: None while it lasts."""

    waits_for: str
    status: DeploymentStatus
    begin: datetime
    end: datetime | None


def sample(state: JudgeState, judgement: Judgement, weight: int | None) -> dict[str, Any]:
    """One measurement of an analysis. Requests and errors count from the analysis's beginning."""
    return {
        "weight": weight,
        "elapsed_seconds": round(judgement.elapsed_seconds, 3),
        "verdict": judgement.verdict,
        "canary": _side(state.canary),
        "stable": _side(state.stable),
        "evidence": [
            {"metric": each.metric, "finding": each.finding, "evidence": each.evidence, "limit": each.limit}
            for each in judgement.metrics
        ],
    }


def waits_of(moves: Iterable[tuple[datetime, str]], now: datetime | None) -> list[Wait]:
    """The waits among the states of a deployment, by time; `now`: None if it is finished."""
    waits: list[Wait] = []
    for at, status in moves:
        if waits and waits[-1].end is None:
            waits[-1] = Wait(waits[-1].waits_for, waits[-1].status, waits[-1].begin, at)
        if waited := WAITS.get(DeploymentStatus(status)):
            waits.append(Wait(waited, DeploymentStatus(status), at, None))
    return waits if now is not None else [each for each in waits if each.end is not None]


def _side(side: SideState) -> dict[str, Any] | None:
    """None: it was not measured."""
    if side.seen is None:
        return None
    total = side.total
    return {
        "requests": total.requests,
        "errors": total.errors,
        "error_rate_percent": round(100 * total.errors / total.requests, 4) if total.requests else None,
        **{name: _quantile(total, level) for name, level in QUANTILES.items()},
    }


def _quantile(counts: WindowCounts, level: float) -> float | None:
    """The upper bound of a quantile's bucket; None: no latencies, or above all buckets."""
    index = counts.quantile_index(level)
    return None if index is None else counts.bounds[index]
