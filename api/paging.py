"""Query parameters of lists."""

from enum import StrEnum
from typing import Annotated

from fastapi import Depends, Query

from api.schemas.base import Storable
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


PageNumber = Annotated[int, Query(ge=1, le=MAX_PAGE)]
PageSize = Annotated[int, Query(ge=1, le=MAX_PAGE_SIZE)]
Search = Annotated[str | None, Query(max_length=255, description="part of a name"), Storable]


async def _page(page: PageNumber = 1, page_size: PageSize = 20) -> PageRequest:
    return PageRequest(page, page_size)


async def _sorted_page(
    page: PageNumber = 1,
    page_size: PageSize = 20,
    sort_by: SortBy = SortBy.CREATED_AT,
    sort_order: SortOrder = SortOrder.DESC,
) -> PageRequest:
    return PageRequest(page, page_size, sort_by, sort_order is SortOrder.DESC)


WantedPage = Annotated[PageRequest, Depends(_page)]
SortedPage = Annotated[PageRequest, Depends(_sorted_page)]
