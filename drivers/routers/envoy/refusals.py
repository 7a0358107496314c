"""Finds rows that Envoy refuses although our own checks passed. Envoy refuses a whole file, so it bisects."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


class RefusedError(Exception):
    """Envoy refused a file."""


async def admit(
    items: Sequence[T],
    put: Callable[[Sequence[T]], Awaitable[None]],
    found: Callable[[T], None] = lambda _: None,
) -> list[T]:
    """Submit as many items as Envoy accepts, and return those it refused.

    Args:
        items: in order; submitted all at once, and by halves when that is refused.
        put: submits these items and those accepted already; raises `RefusedError` if Envoy refuses. Called again with
            the accepted items when the last call was refused.
        found: called for each refused item as soon as an accepted file proves it: with many of them, the time may be
            over before the last one is found.
    """
    taken: list[T] = []
    refused: list[T] = []
    waiting = [list(items)]
    stands, proven = True, False
    while waiting:
        batch = waiting.pop()
        try:
            await put([*taken, *batch])
        except RefusedError:
            stands = False
            if len(batch) <= 1:
                if not batch:
                    raise  # even nothing is refused: no item is to blame
                if not proven:
                    await put(taken)
                    stands = proven = True
                refused += batch
                found(batch[0])
            else:
                middle = len(batch) // 2
                waiting += [batch[middle:], batch[:middle]]
        else:
            stands = proven = True
            taken += batch
    if not stands:
        await put(taken)
    return refused
