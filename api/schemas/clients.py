"""Service accounts and applications in requests and responses. A secret is shown only on creation."""

from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from api.schemas.base import MAX_LINE, MAX_URL, Body, Timestamp, View, one_line
from api.schemas.field_types import Scopes
from api.schemas.patches import Patch
from domain.clients import ApplicationType, ClientStatus
from domain.permissions import MemberRole, Scope
from domain.redirect_uris import PATTERN, check_redirect
from storage.models import Client

MAX_REDIRECTS = 20


def _each_once(uris: list[str]) -> list[str]:
    if len(set(uris)) < len(uris):
        raise ValueError("must not name an address twice")
    return uris


Name = Annotated[str, StringConstraints(min_length=1, max_length=MAX_LINE), one_line(1)]
RedirectUri = Annotated[str, StringConstraints(pattern=PATTERN, max_length=MAX_URL), AfterValidator(check_redirect)]
RedirectUris = Annotated[list[RedirectUri], Field(min_length=1, max_length=MAX_REDIRECTS), AfterValidator(_each_once)]


class ServiceAccountCreate(Body):
    """A program and its permissions: its role, limited to `scopes` (default: all scopes of the role)."""

    name: Name
    role: MemberRole
    scopes: Annotated[Scopes, Field(min_length=1)] | None = None


class ServiceAccountPatch(Patch):
    """Changes of a service account. Removing permissions ends its present tokens."""

    name: Name = ""
    role: MemberRole = MemberRole.VIEWER
    scopes: Annotated[Scopes, Field(min_length=1)] = Field(default_factory=list)


class ApplicationCreate(Body):
    """An application: its exact redirect URIs, and the scopes that it may request."""

    name: Name
    type: ApplicationType
    redirect_uris: RedirectUris
    scopes: Annotated[Scopes, Field(min_length=1)]


class ApplicationPatch(Patch):
    """Changes of an application. Its type cannot change."""

    name: Name = ""
    redirect_uris: RedirectUris = Field(default_factory=list)
    scopes: Annotated[Scopes, Field(min_length=1)] = Field(default_factory=list)


class _ClientView(View):
    """Fields of both kinds; `client_id` is the id."""

    id: UUID
    client_id: UUID
    organization_id: UUID
    name: str
    scopes: list[Scope]
    status: ClientStatus
    created_by: str
    created_at: Timestamp
    updated_at: Timestamp
    disabled_at: Timestamp | None


class ServiceAccountView(_ClientView):
    """A program that acts for itself."""

    role: MemberRole

    @classmethod
    def of(cls, row: Client) -> Self:
        """From its row."""
        return cls.model_validate({**_columns(row), "role": row.role})


class ServiceAccountMade(ServiceAccountView):
    """A service account and its secret, which is not shown again."""

    client_secret: str

    @classmethod
    def with_secret(cls, row: Client, secret: str | None) -> Self:
        """The only response with the secret."""
        return cls.model_validate({**_columns(row), "role": row.role, "client_secret": secret})


class ApplicationView(_ClientView):
    """A program that acts for the user who logs in."""

    type: ApplicationType
    redirect_uris: list[str]

    @classmethod
    def of(cls, row: Client) -> Self:
        """From its row."""
        return cls.model_validate(_application(row))


class ApplicationMade(ApplicationView):
    """An application and its secret, which is not shown again; a public one has none."""

    client_secret: str | None

    @classmethod
    def with_secret(cls, row: Client, secret: str | None) -> Self:
        """The only response with the secret."""
        return cls.model_validate({**_application(row), "client_secret": secret})


def _application(row: Client) -> dict[str, Any]:
    kind = ApplicationType.PUBLIC if row.secret_hash is None else ApplicationType.CONFIDENTIAL
    return {**_columns(row), "type": kind, "redirect_uris": row.redirect_uris}


def _columns(row: Client) -> dict[str, Any]:
    names = _ClientView.model_fields.keys() - {"client_id", "status"}
    status = ClientStatus.ACTIVE if row.disabled_at is None else ClientStatus.DISABLED
    return {"client_id": row.id, "status": status, **{name: getattr(row, name) for name in names}}
