"""The environment's lock: what happens to a request while another deployment holds or awaits it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol, TypeVar
from uuid import UUID

_UUID7: Final = 7
_TIMESTAMP_SHIFT: Final = 80  # RFC 9562, 5.7: the first 48 bits of a UUIDv7 are milliseconds since 1970
_CLOCKS_DIFFER: Final = timedelta(seconds=60)
"""Clocks of API processes and of Temporal differ by less."""


class TurnPolicy(StrEnum):
    """What a new deployment does to earlier ones."""

    QUEUE = "queue"  # waits behind them
    SUPERSEDE = "supersede"  # replaces older ones that are not past their final switch
    REJECT = "reject"  # is refused by the API


class Waiter(Protocol):
    """A request for the lock. Ids of deployments are UUIDv7: the larger is the newer."""

    @property
    def deployment_id(self) -> UUID: ...
    @property
    def urgent(self) -> bool: ...
    @property
    def override_freeze(self) -> bool: ...


T = TypeVar("T", bound=Waiter)


def enqueued(waiting: Sequence[T], request: T) -> list[T]:
    """The queue with one more request: FIFO; urgent ones (rollbacks) come before all others."""
    urgent = sum(1 for one in waiting if one.urgent)
    place = urgent if request.urgent else len(waiting)
    return [*waiting[:place], request, *waiting[place:]]


def replaces(request: Waiter, other: Waiter) -> bool:
    """Whether a newer deployment supersedes an older one; rollbacks neither supersede nor are superseded."""
    return not request.urgent and not other.urgent and other.deployment_id < request.deployment_id


def is_ahead(request: Waiter, now: datetime) -> bool:
    """Whether a deployment's id is from the future: it was created before the clock was set back."""
    made = request.deployment_id
    return made.version == _UUID7 and made.int >> _TIMESTAMP_SHIFT > (now + _CLOCKS_DIFFER).timestamp() * 1000


def passes_freeze(request: Waiter) -> bool:
    """Whether a closed window does not hold this request."""
    return request.urgent or request.override_freeze
