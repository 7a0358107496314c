"""Concurrency limits for long requests: per caller, per organization, and in total.

Each API process counts its own: they protect the resources of the process.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from api.auth.principal import Principal
from api.http.errors import TooOftenError
from domain.errors import DependencyError
from runtime.settings import Settings

RETRY_AFTER_S = 5


@dataclass(frozen=True)
class Cap:
    """A limit; `what` and `advice` are for the error message."""

    what: str
    per_caller: int
    per_organization: int
    of_all: int
    advice: str


class Held:
    """One slot. Releasing it twice has no further effect."""

    def __init__(self, taken: Counter[str], keys: tuple[str, ...]) -> None:
        self._taken = taken
        self._keys = keys

    def release(self) -> None:
        """Release the slot."""
        for key in self._keys:
            self._taken[key] -= 1
            if self._taken[key] <= 0:
                del self._taken[key]
        self._keys = ()


class Places:
    """The slots of one kind."""

    def __init__(self, cap: Cap) -> None:
        self._cap = cap
        self._taken: Counter[str] = Counter()

    def take(self, principal: Principal) -> Held:
        """Take a slot for a caller: a person or a service account, with any of their tokens and keys.

        Raises:
            TooOftenError: the caller, or the organization, has reached its limit.
            DependencyError: all slots are in use.
        """
        organization = str(principal.organization_id or "platform")
        whose, theirs = f"{organization}/{principal.subject}", organization
        cap = self._cap
        if self._taken[whose] >= cap.per_caller:
            raise self._too_many(f"you have {cap.per_caller} {cap.what} at once already, which is the most")
        if principal.organization_id is not None and self._taken[theirs] >= cap.per_organization:
            raise self._too_many(
                f"your organization has {cap.per_organization} {cap.what} at once already, which is the most"
            )
        if self._taken["all"] >= cap.of_all:
            raise DependencyError(f"too many {cap.what} at once; try again shortly", retry_after_s=RETRY_AFTER_S)
        keys = (whose, theirs, "all")
        self._taken.update(keys)
        return Held(self._taken, keys)

    @property
    def is_empty(self) -> bool:
        """Whether no slot is in use."""
        return not self._taken

    @contextmanager
    def held(self, principal: Principal) -> Iterator[None]:
        """`take`, and release at the end of the context."""
        held = self.take(principal)
        try:
            yield
        finally:
            held.release()

    def _too_many(self, message: str) -> TooOftenError:
        return TooOftenError(RETRY_AFTER_S, f"{message}; {self._cap.advice}")


class AllPlaces:
    """Every kind of slot of the API."""

    def __init__(self, settings: Settings) -> None:
        most = settings.long_answers
        self.streams = Places(
            Cap(
                "event streams",
                settings.streams_per_caller,
                settings.streams_per_organization,
                most,
                "end one, or ask with GET /v1/operations/{id}?wait=30",
            )
        )
        self.logs = Places(
            Cap(
                "followed logs",
                settings.streams_per_caller,
                settings.streams_per_organization,
                most,
                "end one, or read without follow",
            )
        )
        self.waits = Places(
            Cap(
                "waiting requests",
                settings.waits_per_caller,
                settings.waits_per_organization,
                most,
                "ask without wait, or follow the operation's events",
            )
        )
        self.exports = Places(
            Cap(
                "exports",
                settings.exports_per_caller,
                settings.exports_per_organization,
                settings.exports_per_organization * 8,
                "let one come to its end first",
            )
        )
