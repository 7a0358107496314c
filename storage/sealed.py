"""Every column that holds sealed values: rotation of the keys goes through this list, and forgets what is not on it.

A column is added in one line: the model, the column, and the context its values are sealed for, made from the row's id.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from storage.models import Mail, Secret, SigningKey, WebhookEndpoint


@dataclass(frozen=True)
class SealedColumn:
    """Where sealed values are. `context` is given the row's primary key; the column may be null."""

    model: Any
    column: str
    context: Callable[[Any], str]

    @property
    def name(self) -> str:
        """`table.column`, for people."""
        return f"{self.model.__tablename__}.{self.column}"


def secret_context(secret_id: UUID) -> str:
    """What the value of a project's secret is sealed for."""
    return f"secret:{secret_id}"


def signing_key_context(kid: str) -> str:
    """What the private half of a signing key is sealed for."""
    return f"signing-key:{kid}"


def webhook_context(webhook_id: UUID) -> str:
    """What the secrets of a webhook are sealed for."""
    return f"webhook:{webhook_id}"


def mail_context(mail_id: UUID) -> str:
    """What the text of a mail is sealed for."""
    return f"mail:{mail_id}"


SEALED: tuple[SealedColumn, ...] = (
    SealedColumn(Secret, "sealed_value", secret_context),
    SealedColumn(SigningKey, "private_key", signing_key_context),
    SealedColumn(WebhookEndpoint, "secret", webhook_context),
    SealedColumn(WebhookEndpoint, "previous_secret", webhook_context),
    SealedColumn(Mail, "sealed_text", mail_context),
)
