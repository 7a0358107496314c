"""Changes of environments' guards with an approval, pending or decided."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select

from domain.environment_settings import GuardChangeStatus
from domain.errors import NotFoundError
from storage.models import GuardChange
from storage.repositories.base import Repository


class GuardChangeRepository(Repository[GuardChange]):
    """Changes of one tenant's environments."""

    model = GuardChange
    noun = "change"

    async def of(self, environment_id: UUID, change_id: UUID, *, lock: bool = False) -> GuardChange:
        """A change of an environment.

        Raises:
            NotFoundError: the environment has no change with this id.
        """
        row = await self.get(change_id, lock=lock)
        if row.environment_id != environment_id:
            raise NotFoundError(f"change {change_id} does not exist")
        return row

    async def latest(self, environment_id: UUID, limit: int) -> Sequence[GuardChange]:
        """The newest ones of an environment, newest first."""
        order = (GuardChange.created_at.desc(), GuardChange.id.desc())
        mine = self.base().where(GuardChange.environment_id == environment_id).order_by(*order)
        return list(await self.session.scalars(mine.limit(limit)))

    async def count_pending(self, environment_id: UUID, at: datetime) -> int:
        """Number of pending ones."""
        mine = self.base().where(
            GuardChange.environment_id == environment_id,
            GuardChange.status == GuardChangeStatus.PENDING,
            GuardChange.expires_at > at,
        )
        return await self.session.scalar(select(func.count()).select_from(mine.subquery())) or 0


def status_of(row: GuardChange, at: datetime) -> GuardChangeStatus:
    """The status of a change at a moment."""
    status = GuardChangeStatus(row.status)
    expired = status is GuardChangeStatus.PENDING and row.expires_at <= at
    return GuardChangeStatus.EXPIRED if expired else status
