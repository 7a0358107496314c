"""Shared by all repositories: the tenant's base statement, one row by id, pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar
from uuid import UUID

from sqlalchemy import Select, func, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from domain.errors import NotFoundError
from storage.cursors import Cursor, CursorError
from storage.estimates import planned_rows
from storage.models import Base
from storage.tenancy import Tenant

M = TypeVar("M", bound=Base)

COUNTED_EXACTLY = 10_000
# From here on, rows before the page are skipped by an index-only scan.
DEEP = 1_000


@dataclass(frozen=True)
class PageRequest:
    """The requested page (numbered from 1), its size, and the order: `sort_by` is a column's name.

    With a cursor, `page` is ignored. Sort columns are never null, or rows would be lost between pages.
    """

    page: int = 1
    page_size: int = 20
    sort_by: str = "created_at"
    descending: bool = True
    cursor: Cursor | None = None


@dataclass(frozen=True)
class Page(Generic[M]):
    """The rows of one page, and the number of all rows.

    `total`: None after a cursor; beyond `COUNTED_EXACTLY` an estimate, marked by `total_is_estimate`.
    """

    rows: Sequence[M]
    total: int | None
    request: PageRequest
    total_is_estimate: bool = False
    next_cursor: Cursor | None = None
    previous_cursor: Cursor | None = None


class Repository(Generic[M]):
    """Rows of one table that a tenant may see. `noun` is for messages."""

    model: ClassVar[Any]
    noun: ClassVar[str]

    def __init__(self, session: AsyncSession, tenant: Tenant) -> None:
        self.session = session
        self.tenant = tenant

    def base(self) -> Select[M]:
        """The base of every statement: the tenant's rows and no others."""
        return self.tenant.filter(select(self.model), self.model.organization_id)

    async def get(self, row_id: UUID, *, lock: bool = False) -> M:
        """One row; `lock` holds it until the transaction ends.

        Raises:
            NotFoundError: it does not exist, or not for this tenant.
        """
        statement = self.base().where(self.model.id == row_id)
        if lock:
            # NO KEY: rows with a foreign key to this one can still be written meanwhile.
            statement = statement.with_for_update(key_share=True).execution_options(populate_existing=True)
        row = await self.session.scalar(statement)
        if row is None:
            raise NotFoundError(f"{self.noun} {row_id} does not exist")
        return row

    async def several(self, ids: Sequence[UUID]) -> Sequence[M]:
        """Those of the rows that exist for this tenant, in no order."""
        return list(await self.session.scalars(self.base().where(self.model.id.in_(ids))))

    async def add(self, row: M) -> M:
        """Insert a row and read back the database's defaults."""
        self.session.add(row)
        await self.session.flush()
        await self.session.refresh(row)
        return row

    async def page(self, statement: Select[M], request: PageRequest) -> Page[M]:
        """One page of a statement. The order always ends with the id, so that no row is repeated or skipped.

        Raises:
            CursorError: the request's cursor is not of this list.
        """
        if request.cursor is not None:
            return await self._after(statement, request, request.cursor)
        total, is_estimate = await self._total(statement, request)
        rows: Sequence[M] = []
        if is_estimate or (request.page - 1) * request.page_size < total:
            rows = list(await self.session.scalars(self.numbered(statement, request)))
        shown = rows[: request.page_size]
        more = len(rows) > len(shown)
        # Facts override an estimate: nothing comes after the last page.
        seen = (request.page - 1) * request.page_size + len(rows)
        if is_estimate and rows:
            total, is_estimate = (max(total, seen), True) if more else (seen, False)
        following = self._cursor(request, shown[-1]) if more else None
        return Page(shown, total, request, is_estimate, following)

    def numbered(self, statement: Select[M], request: PageRequest) -> Select[M]:
        """The rows of a numbered page, plus one more if there is one."""
        order = self._order(request.sort_by, descending=request.descending)
        offset = (request.page - 1) * request.page_size
        window = statement.order_by(*order).limit(request.page_size + 1).offset(offset)
        if offset < DEEP:
            return window
        ids = window.with_only_columns(self.model.id)
        return select(self.model).where(self.model.id.in_(ids)).order_by(*order)

    def counting(self, statement: Select[M], request: PageRequest) -> Select[int]:
        """Counts the rows of a statement, but not far beyond `COUNTED_EXACTLY`.

        In the page's order: without it, the planner may scan the whole table for rows that are all at its end.
        """
        order = self._order(request.sort_by, descending=request.descending)
        some = statement.with_only_columns(self.model.id).order_by(*order).limit(COUNTED_EXACTLY + 1)
        return select(func.count()).select_from(some.subquery())

    def following(self, statement: Select[M], cursor: Cursor, limit: int) -> Select[M]:
        """The first rows after a cursor, found through the index on the sorted column and the id, nearest first.

        Raises:
            CursorError: its value does not fit the column.
        """
        key = getattr(self.model, cursor.sort_by)
        if not isinstance(cursor.value, key.type.python_type):
            raise CursorError("is not a cursor of this list; start again without one")
        down = cursor.descending is not cursor.backward
        here, there = tuple_(key, self.model.id), tuple_(literal(cursor.value, key.type), literal(cursor.row_id))
        beyond = here < there if down else here > there
        return statement.where(beyond).order_by(*self._order(cursor.sort_by, descending=down)).limit(limit)

    async def _after(self, statement: Select[M], request: PageRequest, cursor: Cursor) -> Page[M]:
        rows = list(await self.session.scalars(self.following(statement, cursor, request.page_size + 1)))
        more, shown = len(rows) > request.page_size, rows[: request.page_size]
        if cursor.backward:
            shown.reverse()
        before = more if cursor.backward else True
        after = True if cursor.backward else more
        return Page(
            shown,
            None,
            request,
            next_cursor=self._cursor(request, shown[-1]) if shown and after else None,
            previous_cursor=self._cursor(request, shown[0], backward=True) if shown and before else None,
        )

    async def _total(self, statement: Select[M], request: PageRequest) -> tuple[int, bool]:
        """The number of rows, and whether it is an estimate: counting a million rows means reading them."""
        counted = await self.session.scalar(self.counting(statement, request)) or 0
        if counted <= COUNTED_EXACTLY:
            return counted, False
        return max(counted, await planned_rows(self.session, statement)), True

    def _order(self, sort_by: str, *, descending: bool) -> list[Any]:
        columns = (getattr(self.model, sort_by), self.model.id)
        return [column.desc() if descending else column.asc() for column in columns]

    def _cursor(self, request: PageRequest, row: M, *, backward: bool = False) -> Cursor:
        found: Any = row
        return Cursor(request.sort_by, request.descending, getattr(found, request.sort_by), found.id, backward)
