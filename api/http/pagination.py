"""Query parameters of lists: numbered pages, or a cursor, whose cost does not grow with the position."""

from dataclasses import replace
from enum import StrEnum
from typing import Annotated

from fastapi import Depends, Query, Request

from api.http.errors import InvalidRequestError
from api.schemas.base import Searched
from storage.cursors import MAX_TOKEN, Cursor
from storage.repositories.base import PageRequest

MAX_PAGE = 2**31 - 1
MAX_PAGE_SIZE = 100


class SortBy(StrEnum):
    """Columns that lists of named things can be sorted by."""

    NAME = "name"
    CREATED_AT = "created_at"
    UPDATED_AT = "updated_at"


class SortOrder(StrEnum):
    """Smallest or largest first."""

    ASC = "asc"
    DESC = "desc"


PageNumber = Annotated[int, Query(ge=1, le=MAX_PAGE, description="from 1; past the end is an empty page")]
PageSize = Annotated[int, Query(ge=1, le=MAX_PAGE_SIZE)]
PageCursor = Annotated[
    str | None, Query(max_length=MAX_TOKEN, description="`next_cursor` of the page before, instead of a number")
]
Search = Annotated[str | None, Query(max_length=255, description="part of a name"), Searched]


async def _page(
    request: Request, page: PageNumber = 1, page_size: PageSize = 20, cursor: PageCursor = None
) -> PageRequest:
    return positioned(request, PageRequest(page, page_size), cursor)


async def _sorted_page(
    *,
    request: Request,
    page: PageNumber = 1,
    page_size: PageSize = 20,
    cursor: PageCursor = None,
    sort_by: SortBy = SortBy.CREATED_AT,
    sort_order: SortOrder = SortOrder.DESC,
) -> PageRequest:
    wanted = PageRequest(page, page_size, sort_by.value, sort_order is SortOrder.DESC)
    return positioned(request, wanted, cursor, [one.value for one in SortBy])


def positioned(
    request: Request, wanted: PageRequest, cursor: str | None, sortable: list[str] | None = None
) -> PageRequest:
    """A page by its number, or at a cursor, which includes its sort order.

    Args:
        request: to see which parameters were given.
        wanted: page, size and order from the parameters or their defaults.
        cursor: the parameter.
        sortable: the columns this list can be sorted by; none: a fixed order.

    Raises:
        InvalidRequestError: both a page and a cursor, or a cursor of another order.
        CursorError: not a cursor.
    """
    if cursor is None:
        return wanted
    if "page" in request.query_params:
        raise _invalid("cannot be used together with page", "cursor_and_page")
    given = Cursor.parse(cursor)
    other_column = given.sort_by != wanted.sort_by
    other_order = given.descending is not wanted.descending
    if (
        given.sort_by not in (sortable or [wanted.sort_by])
        or (other_column and "sort_by" in request.query_params)
        or (other_order and (sortable is None or "sort_order" in request.query_params))
    ):
        raise _invalid("belongs to another order; start again without a cursor", "cursor_of_another_order")
    return replace(wanted, sort_by=given.sort_by, descending=given.descending, cursor=given)


def _invalid(message: str, code: str) -> InvalidRequestError:
    return InvalidRequestError("cursor", message, code=code, in_body=False)


WantedPage = Annotated[PageRequest, Depends(_page)]
SortedPage = Annotated[PageRequest, Depends(_sorted_page)]
