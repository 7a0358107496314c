"""The context of a request: its actor and its id, in one context variable, so that writers need no argument for them.

A context variable and not an argument: every route of the API changes rows, and what none passes on none can forget.
"""

from contextvars import ContextVar
from dataclasses import dataclass

from api.auth.principal import Principal

MAX_WORD = 255
MAX_ADDRESS = 64


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something, as the audit log tells it.

    Attributes:
        subject: the person or service account; "anonymous" before it is known, "system" outside of requests.
        credential: what it showed, as in `Principal.credential`.
        address: where the request came from.
        request_id: of the request; None outside of requests.
    """

    subject: str
    credential: str | None = None
    address: str | None = None
    request_id: str | None = None


SYSTEM = Actor("system")
_acting: ContextVar[Actor] = ContextVar("acting", default=SYSTEM)


def current_actor() -> Actor:
    """Who is acting now."""
    return _acting.get()


class acting:  # noqa: N801 - a context manager, spelled as its callers read it
    """Around a request: the actor is unknown until `identify`."""

    def __init__(self, address: str | None, request_id: str) -> None:
        self._actor = Actor("anonymous", None, address and address[:MAX_ADDRESS], request_id[:MAX_WORD])

    def __enter__(self) -> None:
        self._token = _acting.set(self._actor)

    def __exit__(self, *_: object) -> None:
        _acting.reset(self._token)


def identify(principal: Principal) -> None:
    """From here on this request is the principal's."""
    act_as(principal.subject, principal.credential)


def act_as(subject: str, credential: str) -> None:
    """From here on this request is somebody's, also who showed something else than a token or a key."""
    known = _acting.get()
    subject, shown = subject[:MAX_WORD], credential[:MAX_WORD] or None
    if (known.subject, known.credential) != (subject, shown):  # asked for more than once in a request
        _acting.set(Actor(subject, shown, known.address, known.request_id))
