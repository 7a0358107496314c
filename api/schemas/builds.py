"""Builds in requests and responses."""

from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from api.schemas.base import MAX_INT, Body, Decimal, Timestamp, View, Whole
from api.schemas.deployments import Branch, Commit, VersionTag
from domain.image_reference import MAX_REFERENCE, is_image_reference
from domain.lifecycle import BuildProvenance, BuildStatus, ScanStatus


def _image(text: str) -> str:
    if not is_image_reference(text):
        raise ValueError("must be an image reference such as registry.example.com/project:1.2.0, without a scheme")
    return text


def _number(value: object) -> object:
    """JSON has one kind of number, but true and text are not numbers."""
    if isinstance(value, bool | str):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic turns ValueError into a fault
    return value


ImageReference = Annotated[str, StringConstraints(max_length=MAX_REFERENCE), AfterValidator(_image)]
Count = Annotated[Whole, Field(ge=0, le=MAX_INT)]
Coverage = Annotated[float, BeforeValidator(_number), Field(ge=0, le=100, allow_inf_nan=False)]


class BuildReport(Body):
    """An external build, as its reporter describes it. Fields left out were not measured."""

    version_tag: VersionTag
    git_commit_hash: Commit
    git_branch: Branch
    docker_image_url: ImageReference | None = None
    tests_passed: Count | None = None
    tests_failed: Count | None = None
    code_coverage_percent: Coverage | None = None
    security_scan_status: ScanStatus | None = None

    @property
    def status(self) -> BuildStatus:
        """Failed if a test or the scan failed; warnings are not failures."""
        bad = bool(self.tests_failed) or self.security_scan_status is ScanStatus.FAILED
        return BuildStatus.FAILED if bad else BuildStatus.SUCCESS


class BuildView(View):
    """A build with full details; numbers that were not measured are null."""

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
    code_coverage_percent: Decimal | None
    security_scan_status: ScanStatus | None
    vulnerabilities_critical: int | None
    vulnerabilities_high: int | None
    vulnerabilities_medium: int | None
    vulnerabilities_low: int | None
    vulnerabilities_unknown: int | None
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
    """The existing logs."""

    steps: list[LogStep]
