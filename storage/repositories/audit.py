"""The audit log: written with the action, read newest first or along its chain."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.dialects.postgresql import insert

from storage.models import AuditChain, AuditEntry, AuditLink
from storage.models.audit import PLATFORM_CHAIN
from storage.models.base import given
from storage.repositories.base import Page, PageRequest, Repository

MAX_ENTRIES = 500


@dataclass(frozen=True)
class AuditFilter:
    """Which entries to return; None: all. `since` is inclusive, `until` exclusive."""

    actor: str | None = None
    action: str | None = None
    resource_type: str | None = None
    resource_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def conditions(self) -> list[ColumnElement[bool]]:
        """SQL conditions for the entries."""
        equal = {
            AuditEntry.actor: self.actor,
            AuditEntry.action: self.action,
            AuditEntry.resource_type: self.resource_type,
            AuditEntry.resource_id: self.resource_id,
        }
        conditions = [column == value for column, value in equal.items() if value is not None]
        if self.since is not None:
            conditions.append(AuditEntry.occurred_at >= self.since)
        if self.until is not None:
            conditions.append(AuditEntry.occurred_at < self.until)
        return conditions


class AuditRepository(Repository[AuditEntry]):
    """Entries of one tenant."""

    model = AuditEntry
    noun = "audit entry"

    async def write(self, entry: AuditEntry) -> None:
        """Add an entry; it exists if and only if the transaction commits."""
        self.session.add(entry)
        await self.session.flush()

    async def write_once(self, entry: AuditEntry) -> None:
        """Add an entry unless one with its id exists: an activity was retried."""
        statement = insert(AuditEntry).values(given(entry))
        await self.session.execute(statement.on_conflict_do_nothing(index_elements=["id"]))

    async def of(self, resource_id: UUID) -> Sequence[AuditEntry]:
        """The actions on a resource, newest first, at most `MAX_ENTRIES`."""
        statement = self.base().where(AuditEntry.resource_id == resource_id)
        return (await self.session.scalars(statement.order_by(AuditEntry.id.desc()).limit(MAX_ENTRIES))).all()

    async def former(self, resource_id: UUID, action: str, field: str) -> Sequence[str]:
        """The values that a field had before it was changed, newest first, as `domain.audit.shown` shows them."""
        value = AuditEntry.changes[field]["from"].astext
        statement = self.base().with_only_columns(value).where(AuditEntry.resource_id == resource_id)
        changed = statement.where(AuditEntry.action == action, value.is_not(None))
        return (await self.session.scalars(changed.order_by(AuditEntry.id.desc()).limit(MAX_ENTRIES))).all()

    async def search(self, organization_id: UUID | None, wanted: AuditFilter, request: PageRequest) -> Page[AuditEntry]:
        """Entries of an organization; None: of the platform."""
        mine = self.base().where(AuditEntry.organization_id == organization_id)
        return await self.page(mine.where(*wanted.conditions), request)

    async def links(self, entries: Sequence[AuditEntry]) -> dict[UUID, AuditLink]:
        """The positions of entries in their chain, by entry."""
        found = select(AuditLink).where(AuditLink.entry_id.in_([entry.id for entry in entries]))
        return {link.entry_id: link for link in await self.session.scalars(found)}

    async def along(
        self, organization_id: UUID | None, wanted: AuditFilter, *, after: int, until: int, limit: int
    ) -> Sequence[tuple[AuditEntry, AuditLink]]:
        """Entries of an organization in the order of its chain, after one sequence number and up to another."""
        statement = (
            select(AuditEntry, AuditLink)
            .join(AuditLink, AuditLink.entry_id == AuditEntry.id)
            .where(
                AuditLink.chain == (organization_id or PLATFORM_CHAIN),
                AuditLink.sequence > after,
                AuditLink.sequence <= until,
            )
            .where(*wanted.conditions)
            .order_by(AuditLink.sequence)
            .limit(limit)
        )
        rows = await self.session.execute(self.tenant.filter(statement, AuditEntry.organization_id))
        return [(entry, link) for entry, link in rows]

    async def length(self, organization_id: UUID | None) -> int:
        """Number of entries in an organization's chain."""
        statement = select(func.max(AuditChain.sequence)).where(AuditChain.chain == (organization_id or PLATFORM_CHAIN))
        return await self.session.scalar(statement) or 0
