"""Users in requests and responses, as they see themselves."""

from typing import Any, Self
from uuid import UUID

from pydantic import SecretStr

from api.auth.principal import Principal
from api.schemas.base import Timestamp, View
from api.schemas.field_types import GivenPassword, NewPassword, PersonName
from api.schemas.patches import Patch
from domain.permissions import MemberRole, Role, Scope
from storage.models import Membership, Organization, User


class MePatch(Patch):
    """Changes of your own account. A new password requires the present one, and ends all of your tokens."""

    name: PersonName = ""
    password: NewPassword = SecretStr("")
    current_password: GivenPassword = SecretStr("")


class UserView(View):
    """A user."""

    id: UUID
    email: str
    email_verified: bool
    name: str
    created_at: Timestamp
    updated_at: Timestamp
    last_login_at: Timestamp | None


class MembershipView(View):
    """A membership in an organization."""

    organization_id: UUID
    organization_name: str
    role: MemberRole
    joined_at: Timestamp


class MeView(View):
    """The principal of a request's credentials, and its permissions.

    `user` is null for service accounts and for people of another issuer.
    """

    subject: str
    organization_id: UUID | None
    role: Role
    permissions: list[Scope]
    user: UserView | None
    memberships: list[MembershipView]

    @classmethod
    def of(cls, principal: Principal, user: User | None, memberships: list[tuple[Membership, Organization]]) -> Self:
        """From the principal and its user."""
        places: list[Any] = [
            MembershipView(
                organization_id=membership.organization_id,
                organization_name=organization.name,
                role=MemberRole(membership.role),
                joined_at=membership.created_at,
            )
            for membership, organization in memberships
        ]
        return cls(
            subject=principal.subject,
            organization_id=principal.organization_id,
            role=principal.role,
            permissions=sorted(principal.permissions),
            user=None if user is None else UserView.model_validate(user),
            memberships=places,
        )
