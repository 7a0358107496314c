"""Environments on the wire."""

from typing import Any
from uuid import UUID

from api.schemas.base import Timestamp, View
from domain.lifecycle import EnvironmentName, ReleaseState


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


class EnvironmentView(View):
    """An environment of a project; `id` is null until something is deployed into it."""

    id: UUID | None
    project_id: UUID
    name: EnvironmentName
    host: str
    url: str
    settings: dict[str, Any]
    current_release: ReleaseView | None
    previous_release: ReleaseView | None
    lock: LockView | None
    created_at: Timestamp | None
    updated_at: Timestamp | None
