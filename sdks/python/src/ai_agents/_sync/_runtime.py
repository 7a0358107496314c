"""What differs between the twins, beyond spelling; `_async/_runtime.py` is its counterpart, by hand as well."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import httpx2

T = TypeVar("T")
A = TypeVar("A")

Lock = threading.Lock
sleep = time.sleep


def http_client() -> httpx2.Client:
    """One with the environment's proxies and the machine's certificates."""
    import httpx2

    return httpx2.Client(follow_redirects=False)


def called(function: Callable[[A], T], argument: A) -> T:
    """The result of a function."""
    return function(argument)


def given(function: Callable[[], T]) -> T:
    """The same without an argument."""
    return function()
