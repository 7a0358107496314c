"""Who there is: users, their memberships and invitations, clients (service accounts, applications), what is revoked."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base, Identified, Timestamped


class User(Identified, Timestamped, Base):
    """A person. `email` is kept in lower case; a user without a password cannot log in.

    An address is somebody's once they have shown that its mailbox is theirs (`email_verified_at`); until then any
    number of users may claim it, and none of them is in the way of its owner.
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
        """Whether the mailbox was shown to be theirs."""
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
    """A seat offered to an address. The token that accepts it is stored as its SHA-256 (hex) only.

    `failures`: how often somebody had the token and not the password of the address's user.
    `proves`: whoever has the token has the mailbox, since it was sent there, or handed over by the operator.
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
    `organization_id` is null for applications of the platform. `secret_by`: who was shown its present secret,
    where that is somebody else than `created_by`; `secret_holders`: who was shown any of its secrets. All of them
    answer for what it does: with an earlier secret they may have made keys and tokens that still work.
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
    """A mailbox of somebody whom another issuer vouches for, as its token told it when they made something here.

    `subject`: the issuer's name and theirs; `mailbox`: see `domain.emails.mailbox`. What they made (a key, a service
    account, an invitation) names the subject alone; by this it is known which human that is.
    """

    __tablename__ = "outside_people"

    subject: Mapped[str] = mapped_column(String(255), primary_key=True)
    mailbox: Mapped[str] = mapped_column(String(320), primary_key=True)
    seen_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Revocation(Identified, Base):
    """What no process accepts any more, until `expires_at` (when the last token of its kind has expired by itself).

    `kind`: "token" (value: jti), "family" (value: id of a refresh family), "subject" (value: `sub`, of one organization
    or, with null, of all), "client" (value: `client_id`). Of the last two, tokens issued before `issued_before` are
    refused. Every insert notifies the channel `revocations`.
    """

    __tablename__ = "revocations"

    kind: Mapped[str] = mapped_column(String(16))
    value: Mapped[str] = mapped_column(String(255))
    organization_id: Mapped[UUID | None]
    issued_before: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)
