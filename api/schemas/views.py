"""Conversions from rows to response models that are more than copies."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from api.auth.principal import Principal
from api.http.envelope import Prepared
from api.http.links import POLL_INTERVAL_S, deployment_path, operation_path
from api.schemas.base import seconds_between
from api.schemas.builds import BuildView
from api.schemas.deployments import DeploymentView, PreviewView
from api.schemas.environments import EnvironmentView, LockView, QueuedView, ReleaseView, WindowView
from api.schemas.operations import AcceptedView, OperationView
from api.services.operations.progress import Snapshot
from domain.environment_settings import EnvironmentSettings
from domain.events import SEVERITIES
from domain.facts import listed_error
from domain.lifecycle import EnvironmentName, OperationStatus
from domain.windows import window_state
from runtime.settings import Settings
from runtime.tracing import trace_id_of
from storage.models import Base, Build, Deployment, Environment, Operation
from storage.repositories.environments import QueuedDeployment, ReleaseDetails


def _columns(row: Base) -> dict[str, Any]:
    return {column.key: getattr(row, column.key) for column in row.__table__.columns}


def accepted_view(operation: Operation) -> AcceptedView:
    """The body of a 202."""
    return AcceptedView(
        operation_id=operation.id,
        status=OperationStatus(operation.status),
        resource_type=operation.resource_type,
        resource_id=operation.resource_id,
        progress_url=operation_path(operation.id),
        poll_interval_seconds=POLL_INTERVAL_S,
    )


def operation_view(snapshot: Snapshot, temporal_ui_url: str | None) -> OperationView:
    """An operation; `eta_seconds` is null until there are enough earlier runs, and once it is finished.

    `temporal_ui_url`: from `workflow_link`, for this caller.
    """
    row, progress = snapshot.row, snapshot.progress
    url = deployment_path(row.resource_id)
    completed = progress.status is OperationStatus.COMPLETED
    return OperationView.model_validate(
        {
            **_columns(row),
            **progress.model_dump(),
            "error": listed_error(progress.error.model_dump() if progress.error else None),
            "done": snapshot.done,
            "eta_seconds": snapshot.eta_seconds,
            "trace_id": trace_id_of(row.traceparent),
            "resource_url": url,
            "result_url": url if completed else None,
            "temporal_ui_url": temporal_ui_url,
        }
    )


def operation_answer(snapshot: Snapshot, temporal_ui_url: str | None) -> Prepared:
    """The body of a GET, rendered once per snapshot and kind of reader: hundreds of pollers share one."""
    name = "operators_answer" if temporal_ui_url else "answer"
    known: Prepared | None = snapshot.__dict__.get(name)
    if known is None:
        known = snapshot.__dict__[name] = Prepared.of(operation_view(snapshot, temporal_ui_url))
    return known


def workflow_link(settings: Settings, principal: Principal, row: Operation) -> str | None:
    """Its workflow in the Temporal UI, which shows all organizations: for platform admins only."""
    return settings.workflow_url(row.workflow_id) if principal.is_platform_admin else None


def build_view(row: Build) -> BuildView:
    """A build; counts that were not measured are null."""
    counts = (row.tests_passed, row.tests_failed)
    found = row.vulnerabilities or {}
    return BuildView.model_validate(
        {
            **_columns(row),
            **{f"vulnerabilities_{level}": found.get(level) for level in SEVERITIES},
            "tests_run": None if None in counts else sum(count or 0 for count in counts),
            "duration_seconds": seconds_between(row.started_at, row.completed_at),
        }
    )


def deployment_view(row: Deployment, preview: PreviewView | None = None) -> DeploymentView:
    """A deployment with full details; `preview` is only for authorized callers, and not in lists."""
    duration = seconds_between(row.started_at, row.completed_at)
    told = {"duration_seconds": duration, "error": listed_error(row.error), "preview": preview}
    return DeploymentView.model_validate({**row.rollout_options.model_dump(), **_columns(row), **told})


def release_view(details: ReleaseDetails) -> ReleaseView:
    """A release with its build and deployment."""
    release, build = details.release, details.build
    return ReleaseView.model_validate(
        {
            **_columns(build),
            **_columns(release),
            "release_id": release.id,
            "processes": {name: each["count"] for name, each in release.processes.items()},
            "deployed_at": details.deployment.completed_at or release.created_at,
        }
    )


def environment_view(
    *,
    settings: Settings,
    project_id: UUID,
    name: EnvironmentName,
    host: str,
    row: Environment | None,
    own: EnvironmentSettings,
    releases: dict[UUID, ReleaseDetails],
    history: Sequence[ReleaseDetails],
    lock: LockView | None,
    turns: Sequence[QueuedDeployment],
    moment: datetime,
) -> EnvironmentView:
    """An environment, even one without a row; `turns`: its unfinished deployments, `moment`: the time of the view."""
    holder = row.holder_deployment_id if row else None
    current = releases.get(row.current_release_id) if row and row.current_release_id else None
    previous = releases.get(row.previous_release_id) if row and row.previous_release_id else None
    return EnvironmentView(
        id=row.id if row else None,
        project_id=project_id,
        name=name,
        host=host,
        url=settings.service_url(host),
        settings=own,
        current_release=release_view(current) if current else None,
        previous_release=release_view(previous) if previous else None,
        history=[release_view(found) for found in history],
        lock=lock,
        window=_window(own, moment),
        queue=_queue(turns, holder),
        created_at=row.created_at if row else None,
        updated_at=row.updated_at if row else None,
    )


def _queue(turns: Sequence[QueuedDeployment], holder: UUID | None) -> list[QueuedView]:
    waiting = [turn for turn in turns if turn.deployment.id != holder]
    return [
        QueuedView(
            deployment_id=turn.deployment.id,
            operation_id=turn.operation.id,
            position=position,
            version_tag=turn.version_tag,
        )
        for position, turn in enumerate(waiting, 1)
    ]


def _window(own: EnvironmentSettings, moment: datetime) -> WindowView:
    state = window_state(own.windows, moment)
    return WindowView(
        open=state.open,
        reason=state.reason,
        next_open=None if state.open else state.next_open,
        next_close=state.next_close,
    )
