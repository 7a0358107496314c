"""Keys that sign the provenance of builds."""

from datetime import datetime

from sqlalchemy import Index, String, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base, Identified


class AttestationKey(Identified, Base):
    """A key of P-256.

    `state`: "active" (signs; at most one), "retired" (verifies what it signed, until `verifies_until`; None: without
    end) or "revoked" (nothing that it signed is believed). `sealed_key`: of the active one its private half as PEM, of
    a retired one its public half, of a revoked one neither, sealed for the context `attestation-key:<id>`: so a row
    that somebody else wrote is told from ours.
    """

    __tablename__ = "attestation_keys"
    __table_args__ = (
        Index("uq_attestation_keys_active", "state", unique=True, postgresql_where=text("state = 'active'")),
    )

    kid: Mapped[str] = mapped_column(String(64), unique=True)
    state: Mapped[str] = mapped_column(String(16))
    public_key: Mapped[str] = mapped_column(Text)
    sealed_key: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    retired_at: Mapped[datetime | None]
    verifies_until: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
