"""What differs between the twins, beyond spelling; `_sync/_runtime.py` is its counterpart, by hand as well."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import httpx2

T = TypeVar("T")
A = TypeVar("A")

Lock = asyncio.Lock
sleep = asyncio.sleep


def http_client() -> httpx2.AsyncClient:
    """One with the environment's proxies and the machine's certificates."""
    import httpx2

    return httpx2.AsyncClient(follow_redirects=False)


async def called(function: Callable[[A], Awaitable[T] | T], argument: A) -> T:
    """The result of a function, which may be a coroutine function."""
    result = function(argument)
    return await result if inspect.isawaitable(result) else result


async def given(function: Callable[[], Awaitable[T] | T]) -> T:
    """The same without an argument."""
    result = function()
    return await result if inspect.isawaitable(result) else result
