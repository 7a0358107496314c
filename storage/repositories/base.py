"""What all repositories share: the tenant's base statement, one row by id, pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from domain.errors import NotFoundError
from storage.models import Base
from storage.tenancy import Tenant

M = TypeVar("M", bound=Base)


@dataclass(frozen=True)
class PageRequest:
    """Which page of how many rows (numbered from 1), and in what order: `sort_by` is a column's name."""

    page: int = 1
    page_size: int = 20
    sort_by: str = "created_at"
    descending: bool = True


@dataclass(frozen=True)
class Page(Generic[M]):
    """Rows of one page, and how many there are on all pages."""

    rows: Sequence[M]
    total: int
    request: PageRequest


class Repository(Generic[M]):
    """Rows of one table that a tenant may see. `noun` is for messages."""

    model: ClassVar[Any]
    noun: ClassVar[str]

    def __init__(self, session: AsyncSession, tenant: Tenant) -> None:
        self.session = session
        self.tenant = tenant

    def base(self) -> Select[M]:
        """Every statement starts here: the tenant's rows and no others."""
        return self.tenant.filter(select(self.model), self.model.organization_id)

    async def get(self, row_id: UUID, *, lock: bool = False) -> M:
        """One row; `lock` holds it until the transaction ends.

        Raises:
            NotFoundError: it does not exist, or not for this tenant.
        """
        statement = self.base().where(self.model.id == row_id)
        if lock:
            # NO KEY: rows that merely refer to this one can still be written meanwhile.
            statement = statement.with_for_update(key_share=True).execution_options(populate_existing=True)
        row = await self.session.scalar(statement)
        if row is None:
            raise NotFoundError(f"{self.noun} {row_id} does not exist")
        return row

    async def add(self, row: M) -> M:
        """Insert a row and read back what the database filled in."""
        self.session.add(row)
        await self.session.flush()
        await self.session.refresh(row)
        return row

    async def page(self, statement: Select[M], request: PageRequest) -> Page[M]:
        """One page of a statement; the order always ends on the id, so that no row is shown twice or never."""
        total = await self.session.scalar(select(func.count()).select_from(statement.subquery()))
        key = getattr(self.model, request.sort_by)
        order = [column.desc() if request.descending else column.asc() for column in (key, self.model.id)]
        window = statement.order_by(*order).limit(request.page_size).offset((request.page - 1) * request.page_size)
        return Page(list(await self.session.scalars(window)), total or 0, request)
