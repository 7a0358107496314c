"""Invitations into an organization."""

from enum import StrEnum


class InvitationStatus(StrEnum):
    """The status of an invitation."""

    OPEN = "open"
    ACCEPTED = "accepted"
    REVOKED = "revoked"
    EXPIRED = "expired"


class Handover(StrEnum):
    """How an invitation reaches the invited person."""

    MAIL = "mail"
    HANDED = "handed"
