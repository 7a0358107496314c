"""The principal of a request."""

from dataclasses import dataclass
from uuid import UUID

from domain.errors import ForbiddenError
from domain.permissions import Role, Scope
from storage.tenancy import PLATFORM, Tenant

KEY_CREDENTIAL = "key:"


@dataclass(frozen=True)
class Principal:
    """A user or service account, and its permissions.

    Attributes:
        subject: the person or service account, by whichever credential (a token, an API key). Four eyes counts the
            humans behind it (`api.services.humans`).
        credential: "user:<sub>", "client:<client id>" or "key:<id>"; rate limits count by it.
        email: of a user, if known.
        requests_per_minute: its own rate limit, below its organization's.
        is_foreign_machine: a program authenticated by another issuer; the human behind it is unknown here.
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
        """Whether it has access to all organizations."""
        return self.role is Role.PLATFORM_ADMIN

    @property
    def is_key(self) -> bool:
        """Whether it used an API key. A key belongs to one organization, whoever created it."""
        return self.credential.startswith(KEY_CREDENTIAL)

    @property
    def shown(self) -> str:
        """The credential as messages name it: the words after "your"."""
        return "API key" if self.is_key else "token"

    @property
    def tenant(self) -> Tenant:
        """The tenant whose rows this principal sees."""
        return PLATFORM if self.is_platform_admin else Tenant(self.organization_id)

    def may(self, scope: Scope) -> bool:
        """Whether it holds a permission."""
        return scope in self.permissions

    def require(self, *any_of: Scope) -> None:
        """Raise `ForbiddenError`, naming the missing permissions, unless it holds one of these."""
        if not self.permissions.intersection(any_of):
            names = " or ".join(any_of)
            raise ForbiddenError(
                f"this needs the permission {names}, which your {self.shown} does not carry",
                details={"missing_permission": [str(scope) for scope in any_of]},
            )

    def require_organization(self, organization_id: UUID) -> None:
        """Raise `ForbiddenError` for the path of another organization. The contract requires 403 here, not 404."""
        if not self.is_platform_admin and organization_id != self.organization_id:
            raise ForbiddenError("you have no access to this organization")
