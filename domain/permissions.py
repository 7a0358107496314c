"""Permissions: scopes, roles, and the scopes of each role (the table in `docs/adr/0006-roles-and-rollbacks.md`)."""

from collections.abc import Iterable, Mapping
from enum import StrEnum


class Scope(StrEnum):
    """The contract's scopes, and those that the resolutions add."""

    ORGANIZATIONS_READ = "organizations:read"
    ORGANIZATIONS_WRITE = "organizations:write"
    ORGANIZATIONS_ADMIN = "organizations:admin"
    PROJECTS_READ = "projects:read"
    PROJECTS_WRITE = "projects:write"
    PROJECTS_DELETE = "projects:delete"
    PROJECTS_ADMIN = "projects:admin"
    FEATURES_READ = "features:read"
    FEATURES_WRITE = "features:write"
    FEATURES_DELETE = "features:delete"
    TESTS_READ = "tests:read"
    TESTS_WRITE = "tests:write"
    TESTS_EXECUTE = "tests:execute"
    DEPLOYMENTS_READ = "deployments:read"
    DEPLOYMENTS_WRITE = "deployments:write"
    DEPLOYMENTS_APPROVE = "deployments:approve"
    SECURITY_READ = "security:read"
    SECURITY_WRITE = "security:write"
    SECURITY_ADMIN = "security:admin"
    METRICS_READ = "metrics:read"
    WEBHOOKS_READ = "webhooks:read"
    WEBHOOKS_WRITE = "webhooks:write"
    API_KEYS_READ = "api_keys:read"
    API_KEYS_WRITE = "api_keys:write"
    OPERATIONS_READ = "operations:read"
    OPERATIONS_CANCEL = "operations:cancel"
    AUDIT_READ = "audit:read"


_VERBS: Mapping[str, str] = {
    "read": "see",
    "write": "create and change",
    "delete": "delete",
    "admin": "administer",
    "execute": "run",
    "approve": "approve",
    "cancel": "cancel",
}


def in_words(scope: Scope) -> str:
    """A scope's meaning in words."""
    noun, _, verb = scope.partition(":")
    return f"{_VERBS[verb]} {noun.replace('_', ' ').replace('api', 'API')}"


class Role(StrEnum):
    """Roles of an organization, and the platform admin above all organizations."""

    VIEWER = "viewer"
    DEVELOPER = "developer"
    RELEASE_MANAGER = "release_manager"
    ADMIN = "admin"
    PLATFORM_ADMIN = "platform_admin"


class MemberRole(StrEnum):
    """The roles that a member can have in an organization."""

    VIEWER = Role.VIEWER.value
    DEVELOPER = Role.DEVELOPER.value
    RELEASE_MANAGER = Role.RELEASE_MANAGER.value
    ADMIN = Role.ADMIN.value


_VIEWER = frozenset(
    {
        Scope.ORGANIZATIONS_READ,
        Scope.PROJECTS_READ,
        Scope.FEATURES_READ,
        Scope.TESTS_READ,
        Scope.DEPLOYMENTS_READ,
        Scope.SECURITY_READ,
        Scope.METRICS_READ,
        Scope.OPERATIONS_READ,
    }
)
_DEVELOPER = _VIEWER | {
    Scope.PROJECTS_WRITE,
    Scope.FEATURES_WRITE,
    Scope.TESTS_WRITE,
    Scope.TESTS_EXECUTE,
    Scope.DEPLOYMENTS_WRITE,
    Scope.OPERATIONS_CANCEL,
}
_RELEASE_MANAGER = _DEVELOPER | {
    Scope.DEPLOYMENTS_APPROVE,
    Scope.FEATURES_DELETE,
    Scope.SECURITY_WRITE,
    Scope.WEBHOOKS_READ,
}

GRANTS: Mapping[Role, frozenset[Scope]] = {
    Role.VIEWER: _VIEWER,
    Role.DEVELOPER: _DEVELOPER,
    Role.RELEASE_MANAGER: _RELEASE_MANAGER,
    # Everything, but inside one organization only: tenancy ensures that, not the scopes.
    Role.ADMIN: frozenset(Scope),
    Role.PLATFORM_ADMIN: frozenset(Scope),
}

DESCRIPTIONS: Mapping[Role, str] = {
    Role.VIEWER: "looks at everything but webhooks, keys and the audit log",
    Role.DEVELOPER: "plans, tests, builds and deploys; production needs somebody's approval",
    Role.RELEASE_MANAGER: "also approves what goes into production, and triages what scans find",
    Role.ADMIN: "everything inside one organization: members, clients, keys, webhooks, the audit log",
    Role.PLATFORM_ADMIN: "everything in all organizations; plans and quotas; never given inside an organization",
}


def permissions_of(role: Role) -> frozenset[Scope]:
    """What a role grants."""
    return GRANTS[role]


def granted(role: Role, asked: Iterable[str]) -> frozenset[Scope]:
    """The requested scopes limited to the role's permissions; unknown names are dropped."""
    return permissions_of(role) & frozenset(asked)


def may_give(giver: Role, role: MemberRole) -> bool:
    """Whether a principal may assign a role: only one whose permissions it holds itself."""
    return permissions_of(Role(role)) <= permissions_of(giver)


def is_less(role: MemberRole, than: Role) -> bool:
    """Whether the new role lacks a permission of the old one; then the holder's tokens are revoked."""
    return not permissions_of(Role(role)) >= permissions_of(than)
