"""What this process counts of its work: cheap at each request, and taken away a few times a minute to be stored.

A request has a `Tally`, which the queries and cache lookups made on its behalf find by a context variable; at its end
it is added to its organization's counts. What nobody's request did counts for the whole process alone.
"""

import time
from collections import deque
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from domain.metric_counts import Counts

MOST_ORGANIZATIONS: Final = 5000
"""Organizations that are told apart between two flushes; requests of further ones count among all only."""

RECENT: Final = 30
"""Flushes of which the percentiles on the internal port are made: five minutes."""


class Tally:
    """What one request caused. `waits`: it waits for something because it was asked to."""

    __slots__ = ("hits", "is_over", "misses", "queries", "slow_queries", "waits")

    def __init__(self) -> None:
        self.queries = self.slow_queries = self.hits = self.misses = 0
        self.is_over = self.waits = False


current: Final[ContextVar[Tally | None]] = ContextVar("tally", default=None)
"""That of the request that is being answered."""


def cache_hit() -> None:
    """Something was in a cache."""
    tally = current.get()
    if tally is not None:
        tally.hits += 1


def cache_miss() -> None:
    """Something had to be looked up."""
    tally = current.get()
    if tally is not None:
        tally.misses += 1


def request_waits() -> None:
    """The request of this moment waits because it was asked to: its latency says nothing."""
    tally = current.get()
    if tally is not None:
        tally.waits = True


@dataclass(frozen=True)
class Taken:
    """What was counted in some seconds: of all together, and of each organization."""

    all: Counts
    of: Mapping[UUID, Counts]


class Meter:
    """Of one process. `None` stands for everything that belongs to no organization.

    Args:
        slow_query_ms: queries that take longer are slow.
    """

    def __init__(self, slow_query_ms: float = 500.0) -> None:
        self.slow_query_s = slow_query_ms / 1000
        self._counts: dict[UUID | None, Counts] = {None: Counts()}
        self._total = Counts()
        self._recent: deque[Counts] = deque(maxlen=RECENT)

    def of(self, organization_id: UUID | None) -> Counts:
        """What an organization's requests are counted in."""
        found = self._counts.get(organization_id)
        if found is None:
            if len(self._counts) > MOST_ORGANIZATIONS:
                return self._counts[None]
            found = self._counts[organization_id] = Counts()
        return found

    def close(self, tally: Tally, organization_id: UUID | None) -> None:
        """A request is over: what it caused is its organization's."""
        tally.is_over = True
        counts = self.of(organization_id)
        counts.queries += tally.queries
        counts.slow_queries += tally.slow_queries
        counts.cache_hits += tally.hits
        counts.cache_misses += tally.misses

    def query_began(self) -> tuple[Tally | None, float]:
        """A query was sent; to be given to `query_ended`."""
        tally = current.get()
        counts = self._counts[None] if tally is None or tally.is_over else tally
        counts.queries += 1
        return tally, time.perf_counter()

    def query_ended(self, began: tuple[Tally | None, float]) -> None:
        """It was answered, or failed. What was counted when it was sent may have been taken away since."""
        if time.perf_counter() - began[1] > self.slow_query_s:
            tally = began[0]
            counts = self._counts[None] if tally is None or tally.is_over else tally
            counts.slow_queries += 1

    def take(self) -> Taken:
        """What was counted since the last time; counting begins anew."""
        counted, self._counts = self._counts, {None: Counts()}
        together = _sum(counted.values())
        self._total.add(together)
        self._recent.append(together)
        del counted[None]
        return Taken(together, {one: counts for one, counts in counted.items() if one is not None})

    def total(self) -> Counts:
        """All since the process began."""
        return _sum([self._total, *self._counts.values()])

    def recent(self) -> Counts:
        """Of the last minutes."""
        return _sum([*self._recent, *self._counts.values()])


def _sum(many: Iterable[Counts]) -> Counts:
    together = Counts()
    for counts in many:
        together.add(counts)
    return together
