"""Organizations in requests and responses."""

from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, AnyHttpUrl, Field, StringConstraints, TypeAdapter, ValidationError

from api.schemas.base import MAX_INT, MAX_LINE, MAX_URL, Body, Slug, Text, Timestamp, View, Whole, one_line
from api.schemas.patches import Patch
from domain.organizations import OrganizationStatus, OrganizationType
from domain.rate_limits import Plan

_URL: TypeAdapter[AnyHttpUrl] = TypeAdapter(AnyHttpUrl)


def _web_address(text: str) -> str:
    try:
        _URL.validate_python(text)
    except ValidationError:
        raise ValueError("must be an address such as https://example.com") from None
    return text


Name = Annotated[str, StringConstraints(min_length=2, max_length=MAX_LINE), one_line(2)]
RateLimit = Annotated[Whole, Field(ge=1, le=MAX_INT, description="on the plan enterprise; null: the plan's")] | None
WebAddress = Annotated[str, StringConstraints(max_length=MAX_URL), one_line(0, MAX_URL), AfterValidator(_web_address)]


class OrganizationCreate(Body):
    """A new organization."""

    name: Name
    slug: Slug
    type: OrganizationType | None = None
    description: Text | None = None
    website_url: WebAddress | None = None
    plan: Plan = Plan.FREE
    max_users: Whole = Field(default=10, ge=1, le=MAX_INT)
    max_projects: Whole = Field(default=5, ge=0, le=MAX_INT)


class OrganizationPatch(Patch):
    """Changes of an organization; only platform admins set the fields in `GRANTED` and larger quotas."""

    name: Name = ""
    type: OrganizationType | None = None
    description: Text | None = None
    website_url: WebAddress | None = None
    plan: Plan = Plan.FREE
    status: OrganizationStatus = OrganizationStatus.ACTIVE
    max_users: Whole = Field(default=1, ge=1, le=MAX_INT)
    max_projects: Whole = Field(default=0, ge=0, le=MAX_INT)
    requests_per_minute: RateLimit = None
    requests_per_hour: RateLimit = None
    requests_per_day: RateLimit = None


# Fields that determine rate limits.
LIMITING = frozenset({"plan", "requests_per_minute", "requests_per_hour", "requests_per_day"})
GRANTED = LIMITING | {"status"}


class OrganizationView(View):
    """An organization."""

    id: UUID
    name: str
    slug: str
    type: OrganizationType | None
    description: str | None
    website_url: str | None
    plan: Plan
    status: OrganizationStatus
    max_users: int
    max_projects: int
    requests_per_minute: int | None
    requests_per_hour: int | None
    requests_per_day: int | None
    created_at: Timestamp
    updated_at: Timestamp
