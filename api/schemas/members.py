"""Members of an organization in requests and responses."""

from typing import Self
from uuid import UUID

from api.schemas.base import Timestamp, View
from api.schemas.patches import Patch
from domain.permissions import MemberRole
from storage.models import Membership, User


class MemberPatch(Patch):
    """Changes of a member."""

    role: MemberRole = MemberRole.VIEWER


class MemberView(View):
    """A user as a member of an organization; `id` is the user's.

    `email_verified`: the user has verified the mailbox.
    """

    id: UUID
    organization_id: UUID
    email: str
    email_verified: bool
    name: str
    role: MemberRole
    joined_at: Timestamp
    updated_at: Timestamp

    @classmethod
    def of(cls, membership: Membership, user: User) -> Self:
        """From both rows."""
        return cls(
            id=user.id,
            organization_id=membership.organization_id,
            email=user.email,
            email_verified=user.email_verified,
            name=user.name,
            role=MemberRole(membership.role),
            joined_at=membership.created_at,
            updated_at=membership.updated_at,
        )
