"""Environments in requests and responses."""

from typing import Any, Self
from uuid import UUID

from pydantic import Field, field_validator

from api.schemas.base import Timestamp, View
from api.schemas.patches import Patch
from domain.approvals import ApprovalPolicy, Person
from domain.deployment_lock import TurnPolicy
from domain.environment_settings import ApprovalRule, EnvironmentSettings, GuardChangeStatus, Windows
from domain.lifecycle import EnvironmentName, ReleaseState
from domain.texts import name_of
from domain.windows import Window, check_together
from runtime.ids import now
from storage.models import GuardChange
from storage.repositories.guard_changes import status_of


class EnvironmentPatch(Patch):
    """Settings to change; a field that is not given stays, a given one is replaced as a whole."""

    policy: TurnPolicy = TurnPolicy.QUEUE
    approval: ApprovalRule | None = None
    windows: Windows = ()

    @field_validator("windows")
    @classmethod
    def _go_together(cls, windows: tuple[Window, ...]) -> tuple[Window, ...]:
        kept = tuple(window.model_copy(update={"name": name_of(window.name)}) for window in windows)
        check_together(kept)
        return kept

    def changes(self) -> dict[str, Any]:
        """The fields that were given."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class ReleaseView(View):
    """A release that runs, or ran, in an environment."""

    release_id: UUID
    deployment_id: UUID
    build_id: UUID
    build_number: int
    version_tag: str
    git_commit_hash: str
    state: ReleaseState
    replicas: int
    processes: dict[str, int] = Field(description="process types beside the service, and the number of each")
    deployed_at: Timestamp


class LockView(View):
    """The holder of the environment's lock."""

    deployment_id: UUID
    operation_id: UUID
    version_tag: str | None


class WindowView(View):
    """Whether a deployment may start now; else what holds it and until when. Null: not within two years."""

    open: bool
    reason: str | None
    next_open: Timestamp | None
    next_close: Timestamp | None


class QueuedView(View):
    """An unfinished deployment that does not hold the lock; 1 is the next."""

    deployment_id: UUID
    operation_id: UUID
    position: int
    version_tag: str | None


class EnvironmentView(View):
    """An environment of a project; `id` is null until its first deployment or setting.

    `history`: the last ten releases that went live, newest first, including the live one.
    """

    id: UUID | None
    project_id: UUID
    name: EnvironmentName
    host: str
    url: str
    settings: EnvironmentSettings
    current_release: ReleaseView | None
    previous_release: ReleaseView | None
    history: list[ReleaseView]
    lock: LockView | None
    window: WindowView
    queue: list[QueuedView]
    created_at: Timestamp | None
    updated_at: Timestamp | None


class GuardChangeView(View):
    """A change that weakens a protected environment's guards: it waits until enough other people have approved.

    `changes`: the settings to change. `weakens`: those that weaken a guard. `approvals`: who has approved so far.
    """

    id: UUID
    project_id: UUID
    environment: EnvironmentName
    status: GuardChangeStatus
    changes: dict[str, Any]
    weakens: list[str]
    min_approvals: int
    four_eyes: bool
    approvals: list[str]
    requested_by: str
    decided_by: str | None
    decided_at: Timestamp | None
    expires_at: Timestamp
    created_at: Timestamp
    updated_at: Timestamp

    @classmethod
    def of(cls, row: GuardChange, environment: EnvironmentName) -> Self:
        """The present view of a row."""
        rule = ApprovalPolicy.model_validate(row.rule)
        return cls(
            id=row.id,
            project_id=row.project_id,
            environment=environment,
            status=status_of(row, now()),
            changes=row.changes,
            weakens=row.weakens,
            min_approvals=rule.min_approvals,
            four_eyes=rule.four_eyes,
            approvals=[Person.model_validate(one).actor for one in row.approvals],
            requested_by=row.requested_by,
            decided_by=row.decided_by,
            decided_at=row.decided_at,
            expires_at=row.expires_at,
            created_at=row.created_at,
            updated_at=row.updated_at,
        )
