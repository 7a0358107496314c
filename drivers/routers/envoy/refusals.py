"""Which rows Envoy refuses, although our own check let them pass. It refuses a file whole, so it is asked by halves."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


class RefusedError(Exception):
    """Envoy did not take a file."""


async def admit(items: Sequence[T], put: Callable[[Sequence[T]], Awaitable[None]]) -> list[T]:
    """Put as many items before Envoy as it takes, and return those it refused.

    Args:
        items: in their order; they are put all at once, and by halves when that is refused.
        put: puts these items, and whatever is good already, before Envoy; `RefusedError` when it does not take them.
            Called again with what was taken when the last call was refused.
    """
    taken: list[T] = []
    refused: list[T] = []
    waiting = [list(items)]
    stands = True
    while waiting:
        batch = waiting.pop()
        try:
            await put([*taken, *batch])
        except RefusedError:
            stands = False
            if len(batch) <= 1:
                if not batch:
                    raise  # not even nothing is taken: no item is to blame
                refused += batch
            else:
                middle = len(batch) // 2
                waiting += [batch[middle:], batch[:middle]]
        else:
            stands = True
            taken += batch
    if not stands:
        await put(taken)
    return refused
