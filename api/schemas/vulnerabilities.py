"""Vulnerabilities on the wire."""

from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, Field, StringConstraints

from api.schemas.base import Body, Timestamp, View, many_lines
from api.schemas.patches import Patch
from domain.findings import Ecosystem, FindingKind, Severity
from domain.lifecycle import EnvironmentName
from domain.vulnerabilities import MAX_NOTE, MAX_SUPPRESSION, SuppressionReason, TriageStatus, VulnerabilityStatus

Note = Annotated[str, StringConstraints(max_length=MAX_NOTE), many_lines(0, MAX_NOTE)]


class SuppressionOrder(Body):
    """Why a vulnerability does not count, and until when."""

    reason: SuppressionReason
    expires_at: AwareDatetime = Field(
        description=f"with its offset from UTC; at most {MAX_SUPPRESSION.days} days from now"
    )


class VulnerabilityPatch(Patch):
    """What is decided about a vulnerability. `suppression` goes with `status` `suppressed`."""

    status: TriageStatus = TriageStatus.OPEN
    suppression: SuppressionOrder | None = None
    note: Note | None = Field(default=None, description="for people: what was found out, why it is suppressed")


class SuppressionView(View):
    """Why it does not count, and until when."""

    reason: SuppressionReason
    expires_at: Timestamp


class LocationView(View):
    """A place in the sources, or the lock file that names the package; relative to the service's folder."""

    path: str
    line: int | None


class AffectedRelease(View):
    """A live release that has the vulnerability."""

    environment: EnvironmentName
    release_id: UUID
    deployment_id: UUID
    build_id: UUID
    build_number: int
    version_tag: str
    package_version: str | None


class VulnerabilityView(View):
    """A weakness of a project, however many builds have it.

    `rule`: an advisory's id or a tool's rule. `status` counts unless it is `suppressed` or `fixed`.
    `affected_releases`: what is live now and has it, also one that is fixed in a newer build.
    """

    id: UUID
    project_id: UUID
    kind: FindingKind
    severity: Severity
    cvss_score: float | None
    cvss_vector: str | None
    tool: str
    rule: str
    aliases: list[str]
    title: str
    description: str
    ecosystem: Ecosystem | None
    package: str | None
    package_version: str | None
    fixed_versions: list[str]
    location: LocationView | None
    links: list[str]
    status: VulnerabilityStatus
    suppression: SuppressionView | None
    note: str | None
    triaged_by: str | None
    triaged_at: Timestamp | None
    first_build_id: UUID
    last_build_id: UUID
    last_seen_at: Timestamp
    detected_at: Timestamp
    reopened_at: Timestamp | None
    fixed_at: Timestamp | None
    affected_releases: list[AffectedRelease]
    created_at: Timestamp
    updated_at: Timestamp


class SeverityCounts(View):
    """How many there are of each severity."""

    critical: int
    high: int
    medium: int
    low: int
    unknown: int
