"""Organizations: their types and statuses."""

from enum import StrEnum


class OrganizationType(StrEnum):
    """The contract's kinds of organizations."""

    ENTERPRISE = "enterprise"
    STARTUP = "startup"
    NONPROFIT = "nonprofit"


class OrganizationStatus(StrEnum):
    """The contract's states of an organization."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    SUSPENDED = "suspended"
