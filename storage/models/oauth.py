"""The OAuth server's data: signing keys, grants and their refresh tokens, logins, counted attempts.

Secrets that others hold (codes, refresh tokens, session cookies) are stored as their SHA-256 in hex only.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base, Identified


class SigningKey(Identified, Base):
    """An RSA key that signs access tokens. `private_key` is PEM, sealed for the context `signing-key:<kid>`.

    `state`: "next" (published, not used yet), "active" (signs; exactly one) or "retired" (verifies what it signed).
    """

    __tablename__ = "signing_keys"
    __table_args__ = (
        Index("uq_signing_keys_state", "state", unique=True, postgresql_where=text("state IN ('next', 'active')")),
    )

    kid: Mapped[str] = mapped_column(String(64), unique=True)
    algorithm: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    public_key: Mapped[str] = mapped_column(Text)
    private_key: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    activated_at: Mapped[datetime | None]
    retired_at: Mapped[datetime | None]


class Grant(Identified, Base):
    """A user's grant to an application: first an authorization code, then a family of refresh tokens.

    `scopes` are those requested and allowed to the client; the role limits them at each issue. Until the code is used,
    `expires_at` is the code's.
    """

    __tablename__ = "oauth_grants"

    client_id: Mapped[UUID] = mapped_column(ForeignKey("clients.id"), index=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), index=True)
    organization_id: Mapped[UUID | None] = mapped_column(ForeignKey("organizations.id"))
    scopes: Mapped[list[Any]]
    redirect_uri: Mapped[str] = mapped_column(String(2048))
    code_hash: Mapped[str] = mapped_column(String(64), unique=True)
    code_challenge: Mapped[str] = mapped_column(String(128))
    code_used_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(index=True)
    revoked_at: Mapped[datetime | None]


class RefreshToken(Identified, Base):
    """A refresh token of a grant's family. A used one stays as long as the family, so that a second use is noticed."""

    __tablename__ = "refresh_tokens"

    grant_id: Mapped[UUID] = mapped_column(ForeignKey("oauth_grants.id", ondelete="CASCADE"), index=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    used_at: Mapped[datetime | None]


class LoginSession(Identified, Base):
    """A browser in which a user has logged in."""

    __tablename__ = "login_sessions"

    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(index=True)


class Attempts(Base):
    """Number of attempts in a window that ends at `expires_at`. `key` is a SHA-256 in hex."""

    __tablename__ = "attempts"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    count: Mapped[int]
    blocked_until: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
