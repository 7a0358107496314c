"""Builds on the wire."""

from uuid import UUID

from api.schemas.base import Timestamp, View
from domain.lifecycle import BuildProvenance, BuildStatus


class BuildView(View):
    """A build with full details; numbers nobody measured are null."""

    id: UUID
    feature_id: UUID
    project_id: UUID
    operation_id: UUID | None
    provenance: BuildProvenance
    build_number: int
    version_tag: str
    git_commit_hash: str
    git_branch: str
    status: BuildStatus
    docker_image_url: str | None
    docker_image_size_bytes: int | None
    artifact_digest: str | None
    artifact_size_bytes: int | None
    tests_run: int | None
    tests_passed: int | None
    tests_failed: int | None
    tests_skipped: int | None
    code_coverage_percent: float | None
    security_scan_status: str | None
    vulnerabilities_critical: int | None
    vulnerabilities_high: int | None
    vulnerabilities_medium: int | None
    vulnerabilities_low: int | None
    started_at: Timestamp | None
    completed_at: Timestamp | None
    duration_seconds: int | None
    created_at: Timestamp
    updated_at: Timestamp


class LogStep(View):
    """One step's log so far."""

    name: str
    size_bytes: int


class LogListing(View):
    """The logs there are."""

    steps: list[LogStep]
