"""Secrets of projects."""

from uuid import UUID

from sqlalchemy import ForeignKey, Index, LargeBinary, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base, Identified, Timestamped


class Secret(Identified, Timestamped, Base):
    """One secret value, encrypted for its row (`storage.sealed.secret_context`).

    `environment`: null means all of the project's. `version` counts its values. `host`: the only one that a git token
    is sent to, as `name` or `name:port`.
    """

    __tablename__ = "secrets"
    __table_args__ = (
        UniqueConstraint("project_id", "name", "environment", postgresql_nulls_not_distinct=True),
        Index(
            "uq_secrets_project_id_kind_single",
            "project_id",
            "kind",
            unique=True,
            postgresql_where=text("kind IN ('git_https_token', 'git_ssh_key', 'ssh_known_hosts')"),
        ),
        Index("ix_secrets_project_id_created_at_id", "project_id", "created_at", "id"),
    )

    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"), index=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id"))
    environment: Mapped[str | None] = mapped_column(String(16))
    name: Mapped[str] = mapped_column(String(128))
    kind: Mapped[str] = mapped_column(String(32))
    sealed_value: Mapped[bytes] = mapped_column(LargeBinary)
    version: Mapped[int] = mapped_column(default=1)
    host: Mapped[str | None] = mapped_column(String(300))
    created_by: Mapped[str] = mapped_column(String(255))
