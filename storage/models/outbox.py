"""The outbox, for workflow starts and events after a commit, and the keys that make requests idempotent."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, LargeBinary, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from runtime.tracing import traceparent
from storage.models.base import Base, Identified, Timestamped


class OutboxEntry(Identified, Timestamped, Base):
    """Written in the transaction of its cause; the relay carries it out at least once.

    `kind`: "workflow_start", "workflow_signal", "event" or "decision". `topic`: the workflow's or event's name, or the
    action. `outcome`: a workflow's answer to an action. `traceparent`: of the request or activity that wrote it.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        Index("ix_outbox_due", "due_at", postgresql_where=text("done_at IS NULL")),
        Index("ix_outbox_done", "done_at", postgresql_where=text("done_at IS NOT NULL")),
    )

    organization_id: Mapped[UUID | None]
    kind: Mapped[str] = mapped_column(String(32))
    topic: Mapped[str] = mapped_column(String(64))
    resource_id: Mapped[UUID]
    payload: Mapped[dict[str, Any]]
    traceparent: Mapped[str | None] = mapped_column(String(55), default=traceparent)
    attempts: Mapped[int] = mapped_column(default=0)
    last_error: Mapped[str | None] = mapped_column(Text)
    due_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    done_at: Mapped[datetime | None]
    outcome: Mapped[dict[str, Any] | None]


class IdempotencyKey(Timestamped, Base):
    """The response to a request with an `Idempotency-Key`, for repeats of the request.

    `request_hash` is keyed and `body` sealed (`runtime.encryption`): they may contain secrets.
    """

    __tablename__ = "idempotency_keys"

    organization_id: Mapped[UUID | None] = mapped_column(ForeignKey("organizations.id"))
    principal: Mapped[str] = mapped_column(String(255), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    method: Mapped[str] = mapped_column(String(8))
    path: Mapped[str] = mapped_column(String(2048))
    request_hash: Mapped[str] = mapped_column(String(64))
    status: Mapped[int]
    headers: Mapped[dict[str, Any]] = mapped_column(default=dict)
    body: Mapped[bytes] = mapped_column(LargeBinary)
    expires_at: Mapped[datetime] = mapped_column(index=True)
