"""Methods whose answers are wanted as they came."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar, cast

from ai_agents._raw import RawResponse

if TYPE_CHECKING:
    from typing_extensions import ParamSpec

    P = ParamSpec("P")
    T = TypeVar("T")


def raw(method: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[RawResponse[T]]]:
    """The method of a resource that gives raw responses, with the type that says so."""
    return cast("Callable[P, Awaitable[RawResponse[T]]]", method)
