"""Egress limits of each organization: connections at once, new ones per second, bytes per second."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

NEW_PER_SECOND = 200.0
NEW_AT_ONCE = 400.0


@dataclass(frozen=True)
class Limits:
    """Per organization: connections at once, bytes per second over all of them in both directions."""

    connections: int = 500
    bytes_per_s: float = 100 * 1024 * 1024


class TooManyError(Exception):
    """The organization has reached its number of open connections."""


class Pace:
    """A rate limiter: an average per second, with a burst of one second's worth; more has to wait."""

    def __init__(self, per_second: float, at_once: float) -> None:
        self._rate = per_second
        self._most = at_once
        self._left = at_once
        self._at = time.monotonic()

    async def take(self, amount: float) -> None:
        """Reserve an amount now and wait until it is free: first come, first served."""
        now = time.monotonic()
        self._left = min(self._most, self._left + (now - self._at) * self._rate) - amount
        self._at = now
        if self._left < 0:
            await asyncio.sleep(-self._left / self._rate)


class Share:
    """The share of one organization."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.open = 0
        self.bytes = Pace(limits.bytes_per_s, limits.bytes_per_s)
        self.new = Pace(NEW_PER_SECOND, NEW_AT_ONCE)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Held while a connection is open. Raises `TooManyError`."""
        if self.open >= self._limits.connections:
            raise TooManyError
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1


class Shares:
    """Shares by organization; they are few, and none is dropped while the process lives."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._of: dict[str, Share] = {}

    def of(self, organization: str) -> Share:
        """Created on first use."""
        if organization not in self._of:
            self._of[organization] = Share(self._limits)
        return self._of[organization]
