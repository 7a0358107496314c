"""Webhooks: endpoints, deliveries of events to them, attempts of deliveries."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, String, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base, Identified, Timestamped


class WebhookEndpoint(Identified, Timestamped, Base):
    """A webhook of an organization.

    `events`: names, or `*`. `project_id`: only events of this project. `secret`, `previous_secret`: sealed; the
    previous one also signs until `previous_secret_until`. `first_failure_at`: since when all attempts have failed.
    """

    __tablename__ = "webhook_endpoints"
    __table_args__ = (
        Index("ix_webhook_endpoints_organization_id_created_at_id", "organization_id", "created_at", "id"),
    )

    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"))
    project_id: Mapped[UUID | None] = mapped_column(ForeignKey("projects.id"))
    url: Mapped[str] = mapped_column(String(2048))
    description: Mapped[str | None] = mapped_column(String(255))
    events: Mapped[list[Any]]
    secret: Mapped[bytes] = mapped_column(LargeBinary)
    previous_secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    previous_secret_until: Mapped[datetime | None]
    status: Mapped[str] = mapped_column(String(16), default="enabled")
    disabled_reason: Mapped[str | None] = mapped_column(String(32))
    disabled_at: Mapped[datetime | None]
    first_failure_at: Mapped[datetime | None]
    created_by: Mapped[str] = mapped_column(String(255))


class WebhookDelivery(Identified, Base):
    """One event for one endpoint.

    `event`, `resource_id` and `sequence` are the event's. `ordered`: it waits for earlier ones of its resource.
    `locked_until`: the lease of an attempt in progress; after it, the attempt counts as dead. `workflow_started_at`: a
    workflow makes the retries.
    """

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        Index(
            "uq_webhook_deliveries_event_id_endpoint_id",
            "event_id",
            "endpoint_id",
            unique=True,
            postgresql_where=text("trigger = 'event'"),
        ),
        Index("ix_webhook_deliveries_pending", "endpoint_id", "sequence", postgresql_where=text("status = 'pending'")),
        Index(
            "ix_webhook_deliveries_unfinished",
            "endpoint_id",
            "resource_id",
            "sequence",
            postgresql_where=text("ordered AND status IN ('pending', 'failed')"),
        ),
        Index("ix_webhook_deliveries_failed", "next_attempt_at", postgresql_where=text("status = 'failed'")),
        Index(
            "ix_webhook_deliveries_asked",
            "organization_id",
            postgresql_where=text("status IN ('pending', 'failed') AND trigger <> 'event'"),
        ),
        Index("ix_webhook_deliveries_endpoint_id_created_at_id", "endpoint_id", "created_at", "id"),
        Index("ix_webhook_deliveries_event_id", "event_id"),
    )

    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"))
    endpoint_id: Mapped[UUID] = mapped_column(ForeignKey("webhook_endpoints.id", ondelete="CASCADE"))
    event_id: Mapped[UUID] = mapped_column(ForeignKey("events.id", ondelete="CASCADE"))
    event: Mapped[str] = mapped_column(String(64))
    resource_id: Mapped[UUID]
    sequence: Mapped[int] = mapped_column(BigInteger)
    trigger: Mapped[str] = mapped_column(String(16))
    ordered: Mapped[bool]
    status: Mapped[str] = mapped_column(String(16), default="pending")
    attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime | None]
    locked_until: Mapped[datetime | None]
    workflow_started_at: Mapped[datetime | None]
    last_status: Mapped[int | None]
    last_error: Mapped[str | None] = mapped_column(String(500))
    completed_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class WebhookAttempt(Base):
    """One request and its result. `request_headers` without signatures; `response_body` is at most 4 KiB."""

    __tablename__ = "webhook_attempts"

    delivery_id: Mapped[UUID] = mapped_column(ForeignKey("webhook_deliveries.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    url: Mapped[str] = mapped_column(String(2048))
    started_at: Mapped[datetime]
    duration_ms: Mapped[int]
    request_headers: Mapped[dict[str, Any]]
    response_status: Mapped[int | None]
    response_headers: Mapped[dict[str, Any] | None]
    response_body: Mapped[str | None] = mapped_column(Text)
    error: Mapped[str | None] = mapped_column(String(500))
