"""What each organization may take of the way out: connections at once, new ones a second, bytes a second."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

NEW_PER_SECOND = 200.0
NEW_AT_ONCE = 400.0


@dataclass(frozen=True)
class Limits:
    """Of each organization: connections at once, bytes a second of all of them in both directions together."""

    connections: int = 500
    bytes_per_s: float = 100 * 1024 * 1024


class TooManyError(Exception):
    """As many connections as an organization may have are open."""


class Pace:
    """So many a second on average, a second's worth at once; who wants more waits."""

    def __init__(self, per_second: float, at_once: float) -> None:
        self._rate = per_second
        self._most = at_once
        self._left = at_once
        self._at = time.monotonic()

    async def take(self, amount: float) -> None:
        """Take now what is free only later, and wait until then: first come, first served."""
        now = time.monotonic()
        self._left = min(self._most, self._left + (now - self._at) * self._rate) - amount
        self._at = now
        if self._left < 0:
            await asyncio.sleep(-self._left / self._rate)


class Share:
    """One organization's."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.open = 0
        self.bytes = Pace(limits.bytes_per_s, limits.bytes_per_s)
        self.new = Pace(NEW_PER_SECOND, NEW_AT_ONCE)

    @contextmanager
    def place(self) -> Iterator[None]:
        """While a connection is open. Raises `TooManyError`."""
        if self.open >= self._limits.connections:
            raise TooManyError
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1


class Shares:
    """By organization; they are few, and none is forgotten while the process lives."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._of: dict[str, Share] = {}

    def of(self, organization: str) -> Share:
        """Made when it is first asked for."""
        if organization not in self._of:
            self._of[organization] = Share(self._limits)
        return self._of[organization]
