"""Every column with encrypted values: key rotation goes through this list, so a column missing here is not rotated.

A column is added in one line: the model, the column, and the context its values are sealed for, made from the row's id.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from storage.models import AttestationKey, Mail, Secret, SigningKey, WebhookEndpoint


@dataclass(frozen=True)
class SealedColumn:
    """A column with encrypted values, which may be null. `context` gets the value of `key`, which is unique."""

    model: Any
    column: str
    context: Callable[[Any], str]
    key: str = "id"

    @property
    def name(self) -> str:
        """`table.column`, for display."""
        return f"{self.model.__tablename__}.{self.column}"


def secret_context(secret_id: UUID) -> str:
    """The encryption context of a project's secret."""
    return f"secret:{secret_id}"


def signing_key_context(kid: str) -> str:
    """The encryption context of a signing key's private half."""
    return f"signing-key:{kid}"


def attestation_key_context(key_id: UUID) -> str:
    """What the key that signs provenance is sealed for."""
    return f"attestation-key:{key_id}"


def webhook_context(webhook_id: UUID) -> str:
    """The encryption context of a webhook's secrets."""
    return f"webhook:{webhook_id}"


def mail_context(mail_id: UUID) -> str:
    """The encryption context of a mail's text."""
    return f"mail:{mail_id}"


SEALED: tuple[SealedColumn, ...] = (
    SealedColumn(Secret, "sealed_value", secret_context),
    SealedColumn(SigningKey, "private_key", signing_key_context, key="kid"),
    SealedColumn(AttestationKey, "sealed_key", attestation_key_context),
    SealedColumn(WebhookEndpoint, "secret", webhook_context),
    SealedColumn(WebhookEndpoint, "previous_secret", webhook_context),
    SealedColumn(Mail, "sealed_text", mail_context),
)
