"""Following a log: pieces as server-sent events, each made once for all who are at the same place of the same log.

A follower holds a place, no buffer and no connection: what it has not taken stays in the file. Whoever waits at the end
of a log asks for the next piece a few times a second; one look at the file answers all of them.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from api.http.sse import KEEP_ALIVE, RETRY, closed, event
from domain.errors import DependencyError, NotFoundError
from runtime.single_flight import SharedAnswers

LOOK_EVERY_S = 0.3
FOLLOW_LIMIT_S = 900.0
# Proxies close what is silent; 15 s is what the HTML standard suggests for event streams.
BEAT_S = 15.0
# Bytes of a log in one piece, give or take a line; so much of each follower's is in memory, more of nobody's.
PIECE = 64 * 1024
# Pieces kept for those who come to the same place within LOOK_EVERY_S.
MAX_PIECES = 128
# Of all logs of a process at once: reading is quick, and others need the threads as well.
READERS = 4

Place = TypeVar("Place")


@dataclass(frozen=True)
class Told:
    """What is told at one place.

    Attributes:
        event: what stands there; None: nothing (yet).
        mark: the place to go on at, as clients know it.
        moved: whether that is another place.
        end: the last event, when nothing comes any more.
    """

    event: str | None
    mark: str
    moved: bool
    end: str | None

    @property
    def is_over(self) -> bool:
        """Nothing stands here, and nothing will."""
        return self.end is not None and not self.moved


class Pieces(Generic[Place]):
    """Reads pieces for whoever follows.

    Args:
        read: what is told at a place.
    """

    def __init__(self, read: Callable[[Place], Awaitable[Told]]) -> None:
        self._read = read
        self._readers = asyncio.Semaphore(READERS)
        self._answers: SharedAnswers[Place, Told] = SharedAnswers(self._ask, keep_s=LOOK_EVERY_S, max_keys=MAX_PIECES)

    async def at(self, place: Place) -> Told:
        """What is told there."""
        return await self._answers.get(place)

    async def _ask(self, place: Place) -> Told:
        async with self._readers:
            return await self._read(place)


async def followed(at: Callable[[str], Awaitable[Told]], mark: str) -> AsyncGenerator[str, None]:
    """The events from a place on, until the end of the log or after `FOLLOW_LIMIT_S`; comments while nothing comes."""
    yield RETRY
    deadline = time.monotonic() + FOLLOW_LIMIT_S
    beat = time.monotonic() + BEAT_S
    while time.monotonic() < deadline:
        try:
            found = await _asked(at, mark)
        except NotFoundError as gone:  # with its project
            yield closed(gone)
            return
        if found is not None:
            mark = found.mark
            if found.event is not None:
                yield found.event
                beat = time.monotonic() + BEAT_S
            if found.is_over:
                yield found.end or ""
                return
            if found.moved:
                continue
        if time.monotonic() >= beat:
            yield KEEP_ALIVE
            beat = time.monotonic() + BEAT_S
        await asyncio.sleep(LOOK_EVERY_S)


async def _asked(at: Callable[[str], Awaitable[Told]], mark: str) -> Told | None:
    """None: a dependency does not answer now, so that nobody knows."""
    try:
        return await at(mark)
    except DependencyError:
        return None


def told(*, lines: list[dict[str, Any]], mark: str, before: str, end: Mapping[str, Any] | None) -> Told:
    """A piece as it is told; `end`: the data of the last event, None: there is more to come."""
    return Told(
        event=event("log", {"lines": lines}, mark) if lines else None,
        mark=mark,
        moved=mark != before,
        end=None if end is None else event("end", end, mark),
    )
