"""Invitations in requests and responses. The token is shown only on creation."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import SecretStr, StringConstraints

from api.schemas.base import Body, Timestamp, View
from api.schemas.field_types import Email, GivenPassword, PersonName
from domain.invitations import Handover, InvitationStatus
from domain.permissions import MemberRole
from storage.models import Invitation
from storage.repositories.invitations import status_of

MAX_TOKEN = 100


class InvitationCreate(Body):
    """The invited person's email and role."""

    email: Email
    role: MemberRole


class InvitationAccept(Body):
    """The token, and the accepting user: a new one chooses name and password, an existing one gives the password."""

    token: Annotated[SecretStr, StringConstraints(min_length=1, max_length=MAX_TOKEN)]
    name: PersonName | None = None
    password: GivenPassword


class InvitationView(View):
    """An invitation and its status."""

    id: UUID
    organization_id: UUID
    email: str
    role: MemberRole
    status: InvitationStatus
    invited_by: str
    expires_at: Timestamp
    accepted_at: Timestamp | None
    revoked_at: Timestamp | None
    created_at: Timestamp
    updated_at: Timestamp

    @classmethod
    def of(cls, row: Invitation, at: datetime) -> Self:
        """The view at a moment."""
        return cls(**_columns(row, at))


class InvitationMade(InvitationView):
    """A new invitation, and how it reaches the invited person: `delivery`.

    mail: it was sent to the mailbox, and `token` and `link` are null. handed: no mail server is configured; give
    `link`, a web page, to the invited person. Programs post `token` to `accept_url`. Neither is shown again.
    """

    delivery: Handover
    token: str | None
    link: str | None
    accept_url: str

    @classmethod
    def with_token(cls, row: Invitation, at: datetime, *, token: str, link: str, accept_url: str) -> Self:
        """The only response with the token."""
        return cls(**_columns(row, at), delivery=Handover.HANDED, token=token, link=link, accept_url=accept_url)

    @classmethod
    def mailed(cls, row: Invitation, at: datetime, *, accept_url: str) -> Self:
        """The response if the mailbox got the token."""
        return cls(**_columns(row, at), delivery=Handover.MAIL, token=None, link=None, accept_url=accept_url)


def _columns(row: Invitation, at: datetime) -> dict[str, object]:
    names = InvitationView.model_fields.keys() - {"status"}
    return {"status": status_of(row, at), **{name: getattr(row, name) for name in names}}
