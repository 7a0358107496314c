"""API keys: credentials of an organization's services."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base, Identified, Timestamped


class ApiKey(Identified, Timestamped, Base):
    """A key, stored as its SHA-256 (hex) only.

    `role` limits its scopes: the creator's role when the key was created. `creator_kind`: "member" (`creator_id` is a
    user whose membership it ends with), "platform" (a platform admin), "service_account" (`creator_id` is a client) or
    "external", "external_machine" (without a record here). `replaces` is the rotated key, which works until its own
    `overlap_ends_at`.
    """

    __tablename__ = "api_keys"
    __table_args__ = (Index("ix_api_keys_organization_id_created_at_id", "organization_id", "created_at", "id"),)

    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"))
    name: Mapped[str] = mapped_column(String(255))
    key_hash: Mapped[str] = mapped_column(String(64), unique=True)
    prefix: Mapped[str] = mapped_column(String(16))
    scopes: Mapped[list[Any]] = mapped_column(default=list)
    role: Mapped[str] = mapped_column(String(32))
    created_by: Mapped[str] = mapped_column(String(255))
    creator_kind: Mapped[str] = mapped_column(String(16))
    creator_id: Mapped[UUID | None]
    requests_per_minute: Mapped[int | None]
    expires_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    last_used_address: Mapped[str | None] = mapped_column(String(64))
    revoked_at: Mapped[datetime | None]
    replaces: Mapped[UUID | None] = mapped_column(ForeignKey("api_keys.id"))
    overlap_ends_at: Mapped[datetime | None]
