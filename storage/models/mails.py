"""Mails to be sent, and for a while those already sent."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, LargeBinary, String, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base, Identified, Timestamped


class Mail(Identified, Timestamped, Base):
    """Written in the transaction of its cause; sent at least once, until `expires_at`.

    `status`: "pending", "sent" or "failed". `sealed_text`: subject and body, which contain tokens; deleted once it is
    no longer pending. `resource_id`: its cause, such as an invitation.
    """

    __tablename__ = "mails"
    __table_args__ = (
        Index("ix_mails_due", "due_at", postgresql_where=text("status = 'pending'")),
        Index("ix_mails_organization_id_created_at", "organization_id", "created_at"),
        Index("ix_mails_recipient_created_at", "recipient", "created_at"),
        Index("ix_mails_created_at", "created_at"),
    )

    organization_id: Mapped[UUID | None] = mapped_column(ForeignKey("organizations.id"))
    recipient: Mapped[str] = mapped_column(String(254))
    kind: Mapped[str] = mapped_column(String(32))
    resource_id: Mapped[UUID]
    sealed_text: Mapped[bytes | None] = mapped_column(LargeBinary)
    status: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int] = mapped_column(default=0)
    last_error: Mapped[str | None] = mapped_column(String(500))
    due_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    expires_at: Mapped[datetime]
