"""Lists: a page, and all that follow it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Generic, TypeVar

from ai_agents._errors import AIAgentsError
from ai_agents._types import Json

T = TypeVar("T")


class AsyncPage(Generic[T]):
    """A part of a list. Iterating it goes over the items of this page and of all that follow.

    Attributes:
        data: the items of this page.
        total: how many items there are on all pages; None at a cursor, an estimate above 10,000.
        page: its number, from 1; None at a cursor.
        page_size: how many items a page has at most.
    """

    def __init__(
        self, data: list[T], pagination: Json, following: Callable[[dict[str, Any]], Awaitable[AsyncPage[T]]]
    ) -> None:
        self.data = data
        self.total: int | None = pagination.get("total")
        self.page: int | None = pagination.get("page")
        self.page_size: int | None = pagination.get("page_size")
        self._pagination = pagination
        self._following = following

    @property
    def has_next_page(self) -> bool:
        """Whether items follow."""
        return bool(self._pagination.get("has_next"))

    async def get_next_page(self) -> AsyncPage[T]:
        """The page after this one: by its cursor where there is one, so that rows made meanwhile shift nothing.

        Raises:
            AIAgentsError: This is the last one.
        """
        if not self.has_next_page:
            raise AIAgentsError("this is the last page: has_next_page is false")
        cursor = self._pagination.get("next_cursor")
        position = {"cursor": cursor, "page": None} if cursor else {"page": (self.page or 1) + 1}
        return await self._following(position)

    async def __aiter__(self) -> AsyncIterator[T]:
        page = self
        while True:
            for item in page.data:
                yield item
            if not page.has_next_page:
                return
            page = await page.get_next_page()

    def __len__(self) -> int:
        """How many items this page has."""
        return len(self.data)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.data)} of {self.total}, has_next_page={self.has_next_page})"
