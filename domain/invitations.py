"""Invitations into an organization."""

from enum import StrEnum


class InvitationStatus(StrEnum):
    """What became of an invitation."""

    OPEN = "open"
    ACCEPTED = "accepted"
    REVOKED = "revoked"
    EXPIRED = "expired"


class Handover(StrEnum):
    """How an invitation reaches whom it is for."""

    MAIL = "mail"
    HANDED = "handed"
