"""The audit log: append-only and chained by hashes, both enforced by the database itself (migrations 0003, 0011)."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, String, Text, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base, Identified

# The chain of entries that belong to no organization.
PLATFORM_CHAIN = UUID(int=0)


class AuditEntry(Identified, Base):
    """One action, written in its own transaction. Never contains secrets.

    `organization_id` is null for actions on the platform, `resource_id` if there is no single resource (a refused
    login). `changes`: by field, `{"from": ..., "to": ...}`. A trigger adds its `AuditLink` at commit.
    """

    __tablename__ = "audit_log"
    __table_args__ = (Index("ix_audit_log_organization_id_occurred_at_id", "organization_id", "occurred_at", "id"),)

    organization_id: Mapped[UUID | None] = mapped_column(ForeignKey("organizations.id"))
    occurred_at: Mapped[datetime] = mapped_column(server_default=func.now())
    actor: Mapped[str] = mapped_column(String(255))
    credential: Mapped[str | None] = mapped_column(String(255))
    address: Mapped[str | None] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(64))
    resource_type: Mapped[str] = mapped_column(String(32))
    resource_id: Mapped[UUID | None] = mapped_column(index=True)
    reason: Mapped[str | None] = mapped_column(Text)
    request_id: Mapped[str | None] = mapped_column(String(255))
    changes: Mapped[dict[str, Any]] = mapped_column(default=dict)
    details: Mapped[dict[str, Any]] = mapped_column(default=dict)


class AuditLink(Base):
    """An entry's position in its chain: `hash` is the SHA-256 of the previous hash and the entry's text."""

    __tablename__ = "audit_links"
    __table_args__ = (UniqueConstraint("chain", "sequence"),)

    entry_id: Mapped[UUID] = mapped_column(ForeignKey("audit_log.id"), primary_key=True)
    chain: Mapped[UUID]
    sequence: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[bytes] = mapped_column(LargeBinary)


class AuditChain(Base):
    """The last link of each chain. Its row lock, taken at commit, keeps the chain from forking."""

    __tablename__ = "audit_chains"

    chain: Mapped[UUID] = mapped_column(primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[bytes] = mapped_column(LargeBinary)
