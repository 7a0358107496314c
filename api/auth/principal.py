"""Who makes a request."""

from dataclasses import dataclass
from uuid import UUID

from domain.errors import ForbiddenError
from domain.permissions import Role, Scope
from storage.tenancy import PLATFORM, Tenant

KEY_CREDENTIAL = "key:"


@dataclass(frozen=True)
class Principal:
    """A user or service account, and what it may do.

    Attributes:
        subject: the person or service account, whatever it shows (a token, an API key it made); four eyes count the
            humans behind it (`api.services.humans`).
        credential: what it showed: "user:<sub>", "client:<client id>" or "key:<id>"; limits are counted by it.
        email: of a user, where known.
        requests_per_minute: a rate limit of its own, below its organization's.
        is_foreign_machine: a program that another issuer vouches for; which human is behind it nobody here knows.
    """

    subject: str
    organization_id: UUID | None
    role: Role
    permissions: frozenset[Scope]
    credential: str = ""
    email: str = ""
    requests_per_minute: int | None = None
    is_foreign_machine: bool = False

    @property
    def is_platform_admin(self) -> bool:
        """Above all organizations."""
        return self.role is Role.PLATFORM_ADMIN

    @property
    def is_key(self) -> bool:
        """Whether it showed an API key: that is one organization's, whoever made it."""
        return self.credential.startswith(KEY_CREDENTIAL)

    @property
    def shown(self) -> str:
        """What it showed, for messages: the words after "your"."""
        return "API key" if self.is_key else "token"

    @property
    def tenant(self) -> Tenant:
        """Whose rows this principal sees."""
        return PLATFORM if self.is_platform_admin else Tenant(self.organization_id)

    def may(self, scope: Scope) -> bool:
        """Whether a permission is held."""
        return scope in self.permissions

    def require(self, *any_of: Scope) -> None:
        """Raise `ForbiddenError` naming what is missing unless one of the permissions is held."""
        if not self.permissions.intersection(any_of):
            names = " or ".join(any_of)
            raise ForbiddenError(
                f"this needs the permission {names}, which your {self.shown} does not carry",
                details={"missing_permission": [str(scope) for scope in any_of]},
            )

    def require_organization(self, organization_id: UUID) -> None:
        """Raise `ForbiddenError` for another organization's path; the contract says 403 here, not 404."""
        if not self.is_platform_admin and organization_id != self.organization_id:
            raise ForbiddenError("you have no access to this organization")
