"""Events: the outbox, and the source of webhook replays."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, String, func, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base, Identified


class Event(Identified, Base):
    """One event, written in the transaction of its change while the resource's row is locked.

    `id` is the `event_id`. `sequence` orders the events of a resource. `payload` is the `data` of the contract's
    webhook request: `{"<resource>": {...}}`. `fanned_out_at`: when its deliveries were created; null until then.
    """

    __tablename__ = "events"
    __table_args__ = (
        Index("ix_events_sequence_waiting", "sequence", postgresql_where=text("fanned_out_at IS NULL")),
        Index("ix_events_organization_id_sequence", "organization_id", "sequence"),
        Index("ix_events_occurred_at", "occurred_at"),
    )

    sequence: Mapped[int] = mapped_column(BigInteger, Identity(always=True), unique=True)
    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"))
    project_id: Mapped[UUID | None]
    type: Mapped[str] = mapped_column(String(64))
    resource_type: Mapped[str] = mapped_column(String(32))
    resource_id: Mapped[UUID]
    payload: Mapped[dict[str, Any]]
    occurred_at: Mapped[datetime] = mapped_column(server_default=func.now())
    fanned_out_at: Mapped[datetime | None]
