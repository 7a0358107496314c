"""OAuth clients: service accounts and applications."""

from enum import StrEnum


class ClientKind(StrEnum):
    """Whether a client acts for itself, or for the user who logs in."""

    SERVICE_ACCOUNT = "service_account"
    APPLICATION = "application"


class ApplicationType(StrEnum):
    """Whether an application can keep a secret (RFC 6749, 2.1)."""

    PUBLIC = "public"
    CONFIDENTIAL = "confidential"


class ClientStatus(StrEnum):
    """Deleted ones are disabled: they are not listed by default, and cannot be used."""

    ACTIVE = "active"
    DISABLED = "disabled"
