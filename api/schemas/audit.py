"""The audit log in responses."""

from typing import Any
from uuid import UUID

from api.schemas.base import Timestamp, View
from storage.models import AuditEntry, AuditLink


class PlatformEntryView(View):
    """One action that belongs to no organization. `changes`: by field, old and new value.

    `sequence` is its position in its chain, and `hash` (SHA-256, hex) covers it and all earlier entries.
    """

    id: UUID
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


class AuditEntryView(PlatformEntryView):
    """One action in an organization; see `PlatformEntryView`."""

    organization_id: UUID


def audit_entry_view(entry: AuditEntry, link: AuditLink) -> PlatformEntryView:
    """An entry with its position in its chain."""
    view = PlatformEntryView if entry.organization_id is None else AuditEntryView
    columns = {name: getattr(entry, name, None) for name in view.model_fields}
    return view.model_validate({**columns, "sequence": link.sequence, "hash": link.hash.hex()})
