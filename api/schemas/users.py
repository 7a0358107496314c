"""Users on the wire, as they see themselves."""

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
    """What to change about yourself. A new password needs the present one, and ends all of your tokens."""

    name: PersonName = ""
    password: NewPassword = SecretStr("")
    current_password: GivenPassword = SecretStr("")


class UserView(View):
    """A person."""

    id: UUID
    email: str
    email_verified: bool
    name: str
    created_at: Timestamp
    updated_at: Timestamp
    last_login_at: Timestamp | None


class MembershipView(View):
    """A place in an organization."""

    organization_id: UUID
    organization_name: str
    role: MemberRole
    joined_at: Timestamp


class MeView(View):
    """Who the credentials of a request speak for, and what they may do.

    `user` is null for service accounts and for people who are known to another issuer only.
    """

    subject: str
    organization_id: UUID | None
    role: Role
    permissions: list[Scope]
    user: UserView | None
    memberships: list[MembershipView]

    @classmethod
    def of(cls, principal: Principal, user: User | None, memberships: list[tuple[Membership, Organization]]) -> Self:
        """The principal, and what is known of its user."""
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
