"""Environments on the wire."""

from typing import Any
from uuid import UUID

from pydantic import field_validator

from api.schemas.base import Timestamp, View
from api.schemas.patches import Patch
from domain.environment import ApprovalRule, EnvironmentSettings, Windows
from domain.lifecycle import EnvironmentName, ReleaseState
from domain.texts import name_of
from domain.turns import TurnPolicy
from domain.windows import Window, check_together


class EnvironmentPatch(Patch):
    """What to set; a field that is not given stays, one that is given is replaced as a whole."""

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
    """What runs (or ran) in an environment."""

    release_id: UUID
    deployment_id: UUID
    build_id: UUID
    build_number: int
    version_tag: str
    git_commit_hash: str
    state: ReleaseState
    replicas: int
    deployed_at: Timestamp


class LockView(View):
    """Who has the environment's turn."""

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
    """A deployment that is not finished and has not got the turn; 1 is the next."""

    deployment_id: UUID
    operation_id: UUID
    position: int
    version_tag: str | None


class EnvironmentView(View):
    """An environment of a project; `id` is null until something is deployed into it or set for it.

    `history`: the last ten releases that went live there, newest first; what is live now is among them.
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
