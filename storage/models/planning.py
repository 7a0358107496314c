"""Organizations, projects, requirements, features."""

from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base, Identified, Timestamped


class Organization(Identified, Timestamped, Base):
    """A tenant. `host_label` is its DNS-safe part of service hosts, unique forever.

    `requests_per_*`: its own rate limits on the plan enterprise; null: those of the plan. `created_by`: its creator's
    subject; null: created before this was recorded.
    """

    __tablename__ = "organizations"

    name: Mapped[str] = mapped_column(String(255))
    slug: Mapped[str] = mapped_column(String(255), unique=True)
    host_label: Mapped[str] = mapped_column(String(63), unique=True)
    type: Mapped[str | None] = mapped_column(String(32))
    description: Mapped[str | None] = mapped_column(Text)
    website_url: Mapped[str | None] = mapped_column(String(2048))
    plan: Mapped[str] = mapped_column(String(32), default="free")
    status: Mapped[str] = mapped_column(String(32), default="active")
    max_users: Mapped[int] = mapped_column(default=10)
    max_projects: Mapped[int] = mapped_column(default=5)
    requests_per_minute: Mapped[int | None]
    requests_per_hour: Mapped[int | None]
    requests_per_day: Mapped[int | None]
    created_by: Mapped[str | None] = mapped_column(String(255), index=True)


class Project(Identified, Timestamped, Base):
    """A repository and its services. `host_label` is unique in the organization forever."""

    __tablename__ = "projects"
    __table_args__ = (
        Index(
            "uq_projects_organization_id_slug_live",
            "organization_id",
            "slug",
            unique=True,
            postgresql_where=text("status <> 'deleted'"),
        ),
        UniqueConstraint("organization_id", "host_label"),
    )

    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"), index=True)
    name: Mapped[str] = mapped_column(String(255))
    slug: Mapped[str] = mapped_column(String(255))
    host_label: Mapped[str] = mapped_column(String(63))
    description: Mapped[str | None] = mapped_column(Text)
    repository_url: Mapped[str] = mapped_column(String(2048))
    repository_type: Mapped[str] = mapped_column(String(16), default="git")
    source_path: Mapped[str] = mapped_column(String(512), default=".")
    visibility: Mapped[str] = mapped_column(String(16), default="private")
    template_type: Mapped[str | None] = mapped_column(String(32))
    tech_stack: Mapped[list[Any]] = mapped_column(default=list)
    status: Mapped[str] = mapped_column(String(16), default="active")
    owner_id: Mapped[str | None] = mapped_column(String(255))
    last_build_number: Mapped[int] = mapped_column(default=0)


class Requirement(Identified, Timestamped, Base):
    """A requirement of a project."""

    __tablename__ = "requirements"

    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"), index=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id"), index=True)
    title: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text)
    user_stories: Mapped[list[Any]] = mapped_column(default=list)
    acceptance_criteria: Mapped[list[Any]] = mapped_column(default=list)
    priority: Mapped[str | None] = mapped_column(String(16))
    status: Mapped[str] = mapped_column(String(32), default="draft")
    estimated_effort_points: Mapped[int | None]
    tags: Mapped[list[Any]] = mapped_column(default=list)
    created_by: Mapped[str] = mapped_column(String(255))


class Feature(Identified, Timestamped, Base):
    """A part of a requirement that is built and deployed."""

    __tablename__ = "features"

    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"), index=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id"), index=True)
    requirement_id: Mapped[UUID] = mapped_column(ForeignKey("requirements.id"), index=True)
    name: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text)
    implementation_notes: Mapped[str | None] = mapped_column(Text)
    implementation_status: Mapped[str] = mapped_column(String(16), default="not_started")
    blocked_reason: Mapped[str | None] = mapped_column(Text)
    complexity_points: Mapped[int | None]
    developer_id: Mapped[UUID | None]
