"""Vulnerabilities of projects, and in which builds they were found."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Float, ForeignKey, Index, SmallInteger, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base, Identified, Timestamped


class Vulnerability(Identified, Timestamped, Base):
    """One weakness of a project, however many builds have it: `fingerprint` tells them apart.

    What it is (severity, title, links, ...) is what the last scan that found it says. `severity_rank`: one of
    `domain.vulnerabilities.RANKS`. `status`: a `VulnerabilityStatus`; a suppression counts until `suppressed_until`
    alone. `fixed_number`: of the build in which it was not found any more. `detected_at`: found for the first time,
    or again after it was fixed; `told_at`: when the event of that was written; null until then.
    """

    __tablename__ = "vulnerabilities"
    __table_args__ = (
        UniqueConstraint("project_id", "fingerprint"),
        Index("ix_vulnerabilities_untold", "organization_id", "id", postgresql_where=text("told_at IS NULL")),
        Index(
            "ix_vulnerabilities_unfixed",
            "project_id",
            "severity_rank",
            "id",
            postgresql_where=text("status <> 'fixed'"),
        ),
    )

    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"), index=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id"))
    fingerprint: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(16))
    tool: Mapped[str] = mapped_column(String(64))
    rule: Mapped[str] = mapped_column(String(128))
    aliases: Mapped[list[Any]] = mapped_column(default=list)
    severity_rank: Mapped[int] = mapped_column(SmallInteger)
    cvss_score: Mapped[float | None] = mapped_column(Float)
    cvss_vector: Mapped[str | None] = mapped_column(String(256))
    title: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text)
    ecosystem: Mapped[str | None] = mapped_column(String(16))
    package: Mapped[str | None] = mapped_column(String(512))
    package_version: Mapped[str | None] = mapped_column(String(256))
    fixed_versions: Mapped[list[Any]] = mapped_column(default=list)
    location_path: Mapped[str | None] = mapped_column(String(1024))
    location_line: Mapped[int | None]
    links: Mapped[list[Any]] = mapped_column(default=list)
    status: Mapped[str] = mapped_column(String(16), default="open")
    suppression_reason: Mapped[str | None] = mapped_column(String(32))
    suppressed_until: Mapped[datetime | None]
    note: Mapped[str | None] = mapped_column(Text)
    triaged_by: Mapped[str | None] = mapped_column(String(255))
    triaged_at: Mapped[datetime | None]
    first_build_id: Mapped[UUID] = mapped_column(ForeignKey("builds.id"))
    last_build_id: Mapped[UUID] = mapped_column(ForeignKey("builds.id"))
    last_seen_at: Mapped[datetime]
    detected_at: Mapped[datetime]
    reopened_at: Mapped[datetime | None]
    fixed_at: Mapped[datetime | None]
    fixed_number: Mapped[int | None]
    told_at: Mapped[datetime | None]


class BuildFinding(Base):
    """That a build has a vulnerability, and where in it."""

    __tablename__ = "build_findings"

    build_id: Mapped[UUID] = mapped_column(ForeignKey("builds.id", ondelete="CASCADE"), primary_key=True)
    vulnerability_id: Mapped[UUID] = mapped_column(
        ForeignKey("vulnerabilities.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"), index=True)
    package_version: Mapped[str | None] = mapped_column(String(256))
    location_path: Mapped[str | None] = mapped_column(String(1024))
    location_line: Mapped[int | None]
