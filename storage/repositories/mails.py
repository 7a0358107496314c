"""The mail outbox: due mails are claimed by one worker at a time, with a lease."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from storage.models import Mail

PENDING, SENT, FAILED = "pending", "sent", "failed"
# The lease: longer than sending may take. A worker that died meanwhile loses its claim.
LEASE = timedelta(minutes=3)
FIRST_RETRY, LAST_RETRY = timedelta(seconds=30), timedelta(hours=1)
# No delay is this long: a mail due later than this was written before the clock was set back.
NEVER_SO_FAR = LAST_RETRY + timedelta(minutes=1)
MAX_ERROR = 500


class MailRepository:
    """Mails of all organizations."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, mail: Mail) -> None:
        """Send a mail once this is committed."""
        self._session.add(mail)
        await self._session.flush()

    async def count(
        self, *, organization_id: UUID | None = None, recipient: str | None = None, since: datetime
    ) -> tuple[int, datetime | None]:
        """How many mails an organization, or an address, has had since a moment, and when the first was."""
        statement = select(func.count(), func.min(Mail.created_at)).where(Mail.created_at >= since)
        if organization_id is not None:
            statement = statement.where(Mail.organization_id == organization_id)
        if recipient is not None:
            statement = statement.where(Mail.recipient == recipient)
        row = (await self._session.execute(statement)).one()
        return int(row[0]), row[1]

    async def claim(self, *, limit: int) -> Sequence[Mail]:
        """Due mails, oldest first; no other worker sends them until the lease is over."""
        is_due = (Mail.due_at <= func.now()) | (Mail.due_at > func.now() + NEVER_SO_FAR)
        due = (
            select(Mail.id)
            .where(Mail.status == PENDING, is_due)
            .order_by(Mail.due_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        claimed = (
            update(Mail)
            .where(Mail.id.in_(due))
            .values(due_at=func.now() + LEASE, attempts=Mail.attempts + 1)
            .returning(Mail)
            .execution_options(populate_existing=True)
        )
        return (await self._session.scalars(claimed)).all()

    async def sent(self, mail_id: UUID) -> None:
        """The server accepted it; its text is deleted."""
        await self._end(mail_id, SENT, None)

    async def failed(self, mail_id: UUID, error: str) -> None:
        """It will never be sent."""
        await self._end(mail_id, FAILED, error)

    async def later(self, mail: Mail, error: str) -> None:
        """Retry with backoff."""
        pause = min(LAST_RETRY, FIRST_RETRY * 2 ** min(max(mail.attempts - 1, 0), 10))
        values = {"due_at": func.now() + pause, "last_error": error[:MAX_ERROR]}
        await self._session.execute(update(Mail).where(Mail.id == mail.id).values(values))

    async def give_up(self, resource_id: UUID) -> None:
        """Cancel the mails of a resource that is gone."""
        pending = update(Mail).where(Mail.resource_id == resource_id, Mail.status == PENDING)
        await self._session.execute(pending.values(status=FAILED, sealed_text=None, last_error="not wanted any more"))

    async def sweep(self, *, older_than: timedelta, limit: int) -> int:
        """Delete old mails that are no longer counted; returns their number."""
        old = select(Mail.id).where(Mail.created_at < func.now() - older_than, Mail.status != PENDING).limit(limit)
        gone = await self._session.scalars(delete(Mail).where(Mail.id.in_(old)).returning(Mail.id))
        return len(gone.all())

    async def _end(self, mail_id: UUID, status: str, error: str | None) -> None:
        values = {"status": status, "sealed_text": None, "last_error": error and error[:MAX_ERROR]}
        await self._session.execute(update(Mail).where(Mail.id == mail_id).values(values))
