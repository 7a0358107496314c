"""Reads the chains of the audit log for verification, link by link, across all tenants."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import case, func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncSession

from storage.models import AuditChain, AuditEntry, AuditLink
from storage.models.audit import PLATFORM_CHAIN


@dataclass(frozen=True)
class Link:
    """A link and the text that it must be the hash of; None: its entry is gone, or belongs to another chain."""

    sequence: int
    hash: bytes
    entry_id: UUID
    text: str | None


class AuditChainRepository:
    """Reads of all tenants."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def chains(self) -> Sequence[UUID]:
        """Every chain that has a head, a link or an entry."""
        heads = select(AuditChain.chain)
        links = select(AuditLink.chain).distinct()
        entries = select(func.coalesce(AuditEntry.organization_id, PLATFORM_CHAIN)).distinct()
        return sorted(await self._session.scalars(heads.union(links, entries)))

    async def head(self, chain: UUID) -> tuple[int, bytes] | None:
        """Number and hash of the recorded last link."""
        found = await self._session.get(AuditChain, chain, populate_existing=True)
        return (found.sequence, found.hash) if found else None

    async def links(self, chain: UUID, *, after: int, until: int, limit: int) -> Sequence[Link]:
        """Links after a sequence number and up to another, in order."""
        words = func.audit_log_text(literal_column(AuditEntry.__tablename__))  # the whole row
        statement = (
            select(AuditLink.sequence, AuditLink.hash, AuditLink.entry_id, case((AuditEntry.id.is_not(None), words)))
            .outerjoin(
                AuditEntry,
                (AuditEntry.id == AuditLink.entry_id)
                & (func.coalesce(AuditEntry.organization_id, PLATFORM_CHAIN) == chain),
            )
            .where(AuditLink.chain == chain, AuditLink.sequence > after, AuditLink.sequence <= until)
            .order_by(AuditLink.sequence)
            .limit(limit)
        )
        return [Link(*row) for row in await self._session.execute(statement)]

    async def unlinked(self, chain: UUID) -> UUID | None:
        """The first entry without a link, None if there is none."""
        statement = (
            select(AuditEntry.id)
            .outerjoin(AuditLink, AuditLink.entry_id == AuditEntry.id)
            .where(
                func.coalesce(AuditEntry.organization_id, PLATFORM_CHAIN) == chain,
                AuditLink.entry_id.is_(None),
            )
        )
        return await self._session.scalar(statement.order_by(AuditEntry.id).limit(1))
