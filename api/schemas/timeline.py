"""The timeline of a deployment in responses."""

from uuid import UUID

from api.schemas.base import Decimal, Timestamp, View
from domain.canary.verdict import Finding, Metric, Verdict
from domain.lifecycle import DeploymentStatus


class SideView(View):
    """One side's counts since the analysis began; a latency is the upper bound of its bucket, in ms."""

    requests: int
    errors: int
    error_rate_percent: Decimal | None
    p50_ms: Decimal | None
    p95_ms: Decimal | None
    p99_ms: Decimal | None


class EvidenceView(View):
    """The evidence of one metric; the metric fails when `evidence` reaches `limit`."""

    metric: Metric
    finding: Finding
    evidence: Decimal | None
    limit: Decimal | None


class SampleView(View):
    """One measurement of an analysis. `weight`: the new version's percentage of the traffic."""

    at: Timestamp
    analysis: str
    weight: int | None
    elapsed_seconds: Decimal
    verdict: Verdict
    canary: SideView | None
    stable: SideView | None
    evidence: list[EvidenceView]


class HappeningView(View):
    """An event; fields that its kind does not have are null."""

    at: Timestamp
    kind: str
    status: DeploymentStatus | None
    before: DeploymentStatus | None
    weights: dict[str, int] | None
    analysis: str | None
    verdict: Verdict | None
    reasons: list[str] | None
    action: str | None
    actor: str | None
    reason: str | None
    outcome: str | None


class WaitView(View):
    """Time spent waiting for people or for the environment's lock; `completed_at` is null while it lasts."""

    waits_for: str
    status: DeploymentStatus
    started_at: Timestamp
    completed_at: Timestamp | None
    duration_seconds: int | None


class TimelineView(View):
    """The events of a deployment, oldest first; `truncated`: older events are left out."""

    deployment_id: UUID
    status: DeploymentStatus
    samples: list[SampleView]
    events: list[HappeningView]
    waits: list[WaitView]
    truncated: bool
