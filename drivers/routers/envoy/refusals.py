"""Which rows Envoy refuses, although our own check let them pass. It refuses a file whole, so it is asked by halves."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


class RefusedError(Exception):
    """Envoy did not take a file."""


async def admit(
    items: Sequence[T],
    put: Callable[[Sequence[T]], Awaitable[None]],
    found: Callable[[T], None] = lambda _: None,
) -> list[T]:
    """Put as many items before Envoy as it takes, and return those it refused.

    Args:
        items: in their order; they are put all at once, and by halves when that is refused.
        put: puts these items, and whatever is good already, before Envoy; `RefusedError` when it does not take them.
            Called again with what was taken when the last call was refused.
        found: told each that is refused as soon as that is proven by something that is taken: with many of them the
            time may be over before the last one is found.
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
                    raise  # not even nothing is taken: no item is to blame
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
