"""What counts requests. Both stores are the `limits` library's, with one operation more: all quotas or none."""

from collections.abc import Sequence
from typing import Protocol

from domain.errors import DependencyError
from domain.rate_limits import Decision, Quota


class StoreAwayError(DependencyError):
    """The counters cannot be read now."""


class Store(Protocol):
    """Fixed windows that begin with the first request in them."""

    async def take(self, quotas: Sequence[Quota]) -> Decision:
        """Count a request in all quotas if each has room for it, else in none; in one step for all who ask at once.

        Raises:
            StoreAwayError: it does not answer within its limit.
        """

    async def ping(self) -> None:
        """StoreAwayError when it does not answer."""

    async def close(self) -> None:
        """Give connections back."""
