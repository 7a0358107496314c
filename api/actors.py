"""Who is acting: known once per request, so that nothing that is written has to be told it.

A context variable and not an argument: every route of the API changes rows, and what none passes on none can forget.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

from api.auth.principal import Principal

MAX_WORD = 255
MAX_ADDRESS = 64


@dataclass(frozen=True)
class Actor:
    """Who does something, as the audit log tells it.

    Attributes:
        subject: the person or service account; "anonymous" before it is known, "system" outside of requests.
        credential: what it showed, as in `Principal.credential`.
        address: where the request came from.
    """

    subject: str
    credential: str | None = None
    address: str | None = None
    request_id: str | None = None


SYSTEM = Actor("system")
_acting: ContextVar[Actor] = ContextVar("acting", default=SYSTEM)


def current() -> Actor:
    """Who is acting now."""
    return _acting.get()


@contextmanager
def acting(address: str | None, request_id: str) -> Iterator[None]:
    """Around a request: nobody known acts, until `identify`."""
    actor = Actor("anonymous", address=address and address[:MAX_ADDRESS], request_id=request_id[:MAX_WORD])
    token = _acting.set(actor)
    try:
        yield
    finally:
        _acting.reset(token)


def identify(principal: Principal) -> None:
    """From here on this request is the principal's."""
    act_as(principal.subject, principal.credential)


def act_as(subject: str, credential: str) -> None:
    """From here on this request is somebody's who showed something else than a token or a key."""
    _acting.set(replace(_acting.get(), subject=subject[:MAX_WORD], credential=credential[:MAX_WORD] or None))
