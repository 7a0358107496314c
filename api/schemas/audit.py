"""The audit log on the wire."""

from typing import Any
from uuid import UUID

from api.schemas.base import Timestamp, View
from storage.models import AuditEntry, AuditLink


class AuditEntryView(View):
    """One deed. `changes`: by field, from what to what.

    `sequence` is its place in the organization's chain, and `hash` (SHA-256, hex) covers it and all before it.
    """

    id: UUID
    organization_id: UUID
    occurred_at: Timestamp
    actor: str
    credential: str | None
    address: str | None
    action: str
    resource_type: str
    resource_id: UUID | None
    reason: str | None
    request_id: str | None
    changes: dict[str, Any]
    details: dict[str, Any]
    sequence: int
    hash: str


def audit_entry_view(entry: AuditEntry, link: AuditLink) -> AuditEntryView:
    """An entry with its place in the chain."""
    columns = {name: getattr(entry, name, None) for name in AuditEntryView.model_fields}
    return AuditEntryView.model_validate({**columns, "sequence": link.sequence, "hash": link.hash.hex()})
