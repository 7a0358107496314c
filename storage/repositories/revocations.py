"""Revocations, enforced by every process: of tokens, refresh token families, subjects and clients."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Delete, delete, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from storage.models import Revocation

CHANNEL = "revocations"


class RevocationRepository:
    """Adds revocations, notifies every process at the commit, and reads those in force."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, revocation: Revocation) -> None:
        """Insert one, and notify the listeners when the transaction commits.

        Earlier ones that it covers are deleted: every process reads all revocations every second.
        """
        if revocation.issued_before is not None:
            await self._session.execute(_said_by(revocation))
        self._session.add(revocation)
        await self._session.flush()
        await self._session.execute(text("SELECT pg_notify(:channel, '')"), {"channel": CHANNEL})

    async def revoke_subject(
        self, revocation_id: UUID, subject: str, organization_id: UUID | None, *, at: datetime, until: datetime
    ) -> None:
        """Refuse every token of a subject issued before `at` (of one organization, or of all with None).

        Args:
            revocation_id: of the new row.
            subject: the `sub` of the tokens.
            organization_id: of the tokens; None: any.
            at: tokens issued before it are refused; usually now.
            until: when the last of them has expired by itself.
        """
        row = Revocation(id=revocation_id, kind="subject", value=subject, organization_id=organization_id)
        row.issued_before, row.expires_at = at, until
        await self.add(row)

    async def revoke_client(self, revocation_id: UUID, client_id: str, *, at: datetime, until: datetime) -> None:
        """Refuse every token that was issued through a client before `at`, for any subject."""
        row = Revocation(id=revocation_id, kind="client", value=client_id, issued_before=at, expires_at=until)
        await self.add(row)

    async def in_force(self, at: datetime) -> Sequence[Revocation]:
        """All revocations in force."""
        return (await self._session.scalars(select(Revocation).where(Revocation.expires_at > at))).all()


def _said_by(later: Revocation) -> Delete:
    """Those that a new revocation covers."""
    return delete(Revocation).where(
        Revocation.kind == later.kind,
        Revocation.value == later.value,
        Revocation.organization_id.is_not_distinct_from(later.organization_id),
        Revocation.issued_before <= later.issued_before,
        Revocation.expires_at <= later.expires_at,
    )
