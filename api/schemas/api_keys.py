"""API keys in requests and responses."""

from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints

from api.schemas.base import MAX_INT, MAX_LINE, Body, Timestamp, View, Whole, one_line
from api.schemas.patches import Patch
from domain.api_keys import DEFAULT_OVERLAP, MAX_OVERLAP, KeyStatus
from domain.permissions import Scope


def _once_each(scopes: list[Scope]) -> list[Scope]:
    if len(set(scopes)) < len(scopes):
        raise ValueError("names a scope twice")
    return scopes


Name = Annotated[str, StringConstraints(min_length=1, max_length=MAX_LINE), one_line(1)]
Scopes = Annotated[list[Scope], Field(min_length=1, max_length=len(Scope)), AfterValidator(_once_each)]
OwnLimit = (
    Annotated[Whole, Field(ge=1, le=MAX_INT, description="its own rate limit, if below the organization's")] | None
)
ExpiresAt = Annotated[AwareDatetime, Field(description="at most a year from now; that is also the default")] | None


class ApiKeyCreate(Body):
    """A new key and its permissions."""

    name: Name
    scopes: Scopes
    expires_at: ExpiresAt = None
    requests_per_minute: OwnLimit = None


class ApiKeyPatch(Patch):
    """Changes of a key."""

    name: Name = ""
    requests_per_minute: OwnLimit = None


class ApiKeyRotation(Body):
    """The rotation of a key."""

    overlap_seconds: Whole = Field(
        default=int(DEFAULT_OVERLAP.total_seconds()),
        ge=0,
        le=int(MAX_OVERLAP.total_seconds()),
        description="how long the old key keeps working",
    )
    expires_at: ExpiresAt = None


class ApiKeyView(View):
    """A key. `prefix` is its beginning; the whole key is shown only on creation."""

    id: UUID
    organization_id: UUID
    name: str
    prefix: str
    scopes: list[Scope]
    status: KeyStatus
    created_by: str
    requests_per_minute: int | None
    expires_at: Timestamp
    last_used_at: Timestamp | None
    last_used_address: str | None
    revoked_at: Timestamp | None
    replaces: UUID | None
    overlap_ends_at: Timestamp | None
    created_at: Timestamp
    updated_at: Timestamp


class IssuedApiKeyView(ApiKeyView):
    """A key that was just created, shown this once."""

    key: str
