"""Delivery metrics in responses."""

from typing import Self
from uuid import UUID

from pydantic import Field

from api.schemas.base import Timestamp, View
from domain.delivery_metrics import Changes, DeliveryMetrics, Distribution, Range
from domain.lifecycle import EnvironmentName


class SecondsView(View):
    """Number of values, and their mean, median and 90th percentile in seconds; null if there are none."""

    measured: int
    mean_seconds: float | None = Field(ge=0)
    median_seconds: float | None = Field(ge=0)
    p90_seconds: float | None = Field(ge=0)

    @classmethod
    def of(cls, found: Distribution) -> Self:
        """From computed values, to the millisecond."""
        values = {"mean_seconds": found.mean, "median_seconds": found.median, "p90_seconds": found.p90}
        rounded = {name: None if value is None else round(value, 3) for name, value in values.items()}
        return cls(measured=found.measured, **rounded)


class FrequencyView(View):
    """How often a new version went live. `days_with_deployment`: days (UTC) with at least one."""

    deployments: int
    days_with_deployment: int
    per_day: float = Field(ge=0)


class FailureRateView(View):
    """Changes that were rolled back: `before_live` (a failed canary) or `after_live`. `percent`: 0-100."""

    changes: int
    failed: int
    failed_before_live: int
    failed_after_live: int
    percent: float | None = Field(ge=0, le=100)


class WaitingView(View):
    """From request to live: the total, waiting for people, waiting for other things (slots, locks, windows), work."""

    total: SecondsView
    people: SecondsView
    others: SecondsView
    machine: SecondsView


class DeliveryMetricsView(View):
    """The DORA metrics in `[since, until)`; unknown ones are null."""

    organization_id: UUID
    project_id: UUID | None
    environment: EnvironmentName | None
    since: Timestamp
    until: Timestamp
    deployment_frequency: FrequencyView
    lead_time: SecondsView
    change_failure_rate: FailureRateView
    time_to_restore: SecondsView
    waiting: WaitingView

    @classmethod
    def of(
        cls,
        found: DeliveryMetrics,
        wanted: Range,
        *,
        organization_id: UUID,
        project_id: UUID | None,
        environment: EnvironmentName | None,
    ) -> Self:
        """From the computed metrics and their scope."""
        waits = found.waits
        parts = {"total": waits.total, "people": waits.people, "others": waits.others, "machine": waits.machine}
        return cls(
            organization_id=organization_id,
            project_id=project_id,
            environment=environment,
            since=wanted.since,
            until=wanted.until,
            deployment_frequency=_frequency(found.changes, wanted),
            lead_time=SecondsView.of(found.lead_time),
            change_failure_rate=_failure_rate(found.changes),
            time_to_restore=SecondsView.of(found.restore),
            waiting=WaitingView(**{name: SecondsView.of(part) for name, part in parts.items()}),
        )


def _frequency(changes: Changes, wanted: Range) -> FrequencyView:
    return FrequencyView(
        deployments=changes.live,
        days_with_deployment=changes.days_with_one,
        per_day=round(changes.live / wanted.days, 6),
    )


def _failure_rate(changes: Changes) -> FailureRateView:
    percent = changes.failure_percent
    return FailureRateView(
        changes=changes.all,
        failed=changes.failed,
        failed_before_live=changes.taken_back_before,
        failed_after_live=changes.taken_back_after,
        percent=None if percent is None else round(percent, 3),
    )
