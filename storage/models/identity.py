"""Identities: users, memberships, invitations, clients (service accounts, applications), and revocations."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base, Identified, Timestamped


class User(Identified, Timestamped, Base):
    """A person. `email` is stored in lower case; a user without a password cannot log in.

    An email belongs to a user once they have verified it (`email_verified_at`). Until then any number of users may
    claim it, and none of them blocks its owner.
    """

    __tablename__ = "users"
    __table_args__ = (
        Index("ix_users_email", "email"),
        Index("uq_users_email_proven", "email", unique=True, postgresql_where=text("email_verified_at IS NOT NULL")),
    )

    email: Mapped[str] = mapped_column(String(254))
    email_verified_at: Mapped[datetime | None]
    name: Mapped[str] = mapped_column(String(255), default="")
    password_hash: Mapped[str | None] = mapped_column(String(255))
    is_platform_admin: Mapped[bool] = mapped_column(default=False)
    disabled_at: Mapped[datetime | None]
    last_login_at: Mapped[datetime | None]

    @property
    def email_verified(self) -> bool:
        """Whether the user has verified the email."""
        return self.email_verified_at is not None


class Membership(Identified, Timestamped, Base):
    """A user's role in an organization."""

    __tablename__ = "memberships"
    __table_args__ = (
        UniqueConstraint("organization_id", "user_id"),
        Index("ix_memberships_organization_id_created_at_id", "organization_id", "created_at", "id"),
    )

    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"))
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), index=True)
    role: Mapped[str] = mapped_column(String(32))


class Invitation(Identified, Timestamped, Base):
    """An offered membership. The token that accepts it is stored as its SHA-256 (hex) only.

    `failures`: number of attempts with the token but a wrong password. `proves`: the token verifies the mailbox, since
    it was sent there, or handed over by the operator.
    """

    __tablename__ = "invitations"
    __table_args__ = (Index("ix_invitations_organization_id_created_at_id", "organization_id", "created_at", "id"),)

    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"))
    email: Mapped[str] = mapped_column(String(254))
    role: Mapped[str] = mapped_column(String(32))
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    invited_by: Mapped[str] = mapped_column(String(255))
    expires_at: Mapped[datetime]
    accepted_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    failures: Mapped[int] = mapped_column(default=0)
    proves: Mapped[bool] = mapped_column(default=False)


class Client(Identified, Timestamped, Base):
    """An OAuth client; its `id` is the `client_id`.

    `kind`: "service_account" (client credentials; has a `role`) or "application" (authorization code; has
    `redirect_uris`, acts for the user who logs in). A client without `secret_hash` (SHA-256, hex) is public.
    `organization_id` is null for applications of the platform. `secret_by`: who saw its present secret, if not
    `created_by`; `secret_holders`: who saw any of its secrets. All of them are responsible for its actions: with an
    earlier secret they may have created keys and tokens that still work.
    """

    __tablename__ = "clients"
    __table_args__ = (Index("ix_clients_organization_id_created_at_id", "organization_id", "created_at", "id"),)

    organization_id: Mapped[UUID | None] = mapped_column(ForeignKey("organizations.id"))
    kind: Mapped[str] = mapped_column(String(32))
    name: Mapped[str] = mapped_column(String(255))
    secret_hash: Mapped[str | None] = mapped_column(String(64))
    role: Mapped[str | None] = mapped_column(String(32))
    scopes: Mapped[list[Any]] = mapped_column(default=list)
    redirect_uris: Mapped[list[Any]] = mapped_column(default=list)
    created_by: Mapped[str] = mapped_column(String(255))
    secret_by: Mapped[str | None] = mapped_column(String(255))
    secret_holders: Mapped[list[Any]] = mapped_column(default=list)
    disabled_at: Mapped[datetime | None]


class OutsidePerson(Base):
    """The mailbox of a person authenticated by another issuer, as in its token when the person created something here.

    `subject`: the issuer's name and theirs; `mailbox`: see `domain.emails.mailbox`. Their keys, service accounts and
    invitations name only the subject; this row identifies the human.
    """

    __tablename__ = "outside_people"

    subject: Mapped[str] = mapped_column(String(255), primary_key=True)
    mailbox: Mapped[str] = mapped_column(String(320), primary_key=True)
    seen_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Revocation(Identified, Base):
    """A revocation, in force until `expires_at` (when the last token it covers has expired by itself).

    `kind`: "token" (value: jti), "family" (value: id of a refresh family), "subject" (value: `sub`, of one organization
    or, with null, of all), "client" (value: `client_id`). For the last two, tokens issued before `issued_before` are
    refused. Every insert notifies the channel `revocations`.
    """

    __tablename__ = "revocations"

    kind: Mapped[str] = mapped_column(String(16))
    value: Mapped[str] = mapped_column(String(255))
    organization_id: Mapped[UUID | None]
    issued_before: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)
