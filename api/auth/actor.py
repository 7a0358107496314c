"""The actor and the id of a request, in one context variable.

A context variable rather than an argument, because almost every route writes rows: no caller can forget to pass it.
"""

from contextvars import ContextVar
from dataclasses import dataclass

from api.auth.principal import Principal

MAX_WORD = 255
MAX_ADDRESS = 64


@dataclass(frozen=True, slots=True)
class Actor:
    """An actor as the audit log records it.

    Attributes:
        subject: the person or service account; "anonymous" before authentication, "system" outside of requests.
        credential: the credential used, as in `Principal.credential`.
        address: the client IP.
        request_id: of the request; None outside of requests.
    """

    subject: str
    credential: str | None = None
    address: str | None = None
    request_id: str | None = None


SYSTEM = Actor("system")
_acting: ContextVar[Actor] = ContextVar("acting", default=SYSTEM)


def current_actor() -> Actor:
    """The current actor."""
    return _acting.get()


class acting:  # noqa: N801 - a context manager, spelled as its callers read it
    """The context of a request: the actor is anonymous until `identify`."""

    def __init__(self, address: str | None, request_id: str) -> None:
        self._actor = Actor("anonymous", None, address and address[:MAX_ADDRESS], request_id[:MAX_WORD])

    def __enter__(self) -> None:
        self._token = _acting.set(self._actor)

    def __exit__(self, *_: object) -> None:
        _acting.reset(self._token)


def identify(principal: Principal) -> None:
    """Set the principal as the actor of this request."""
    act_as(principal.subject, principal.credential)


def act_as(subject: str, credential: str) -> None:
    """Set the actor of this request, also for requests authenticated by other means than a token or a key."""
    known = _acting.get()
    subject, shown = subject[:MAX_WORD], credential[:MAX_WORD] or None
    if (known.subject, known.credential) != (subject, shown):  # several uses in one request
        _acting.set(Actor(subject, shown, known.address, known.request_id))
