"""Security headers of every answer. Headers that an answer sets itself (a page's own policy) are kept."""

from collections.abc import Sequence
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

Raw = tuple[bytes, bytes]

HSTS: Final = (b"strict-transport-security", b"max-age=31536000")
_CSP: Final = b"content-security-policy"
_CACHE: Final = b"cache-control"
# For browsers: nothing in an answer is executed, framed, or read across origins.
ALWAYS: Final[Sequence[Raw]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
DATA_POLICY: Final = (_CSP, b"default-src 'none'; frame-ancestors 'none'")
# With an ETag a browser may store it, but must revalidate it each time.
REVALIDATE: Final = (_CACHE, b"private, no-cache")
NO_STORE: Final = (_CACHE, b"no-store")


def for_data(*, https: bool) -> Sequence[Raw]:
    """All headers, for an answer that is neither a page nor cacheable."""
    return (*ALWAYS, DATA_POLICY, NO_STORE, *((HSTS,) if https else ()))


class SecurityHeaders:
    """Adds the headers to every answer; costs a few comparisons.

    Args:
        app: the inner application.
        https: whether clients use TLS, so that HSTS may be sent.
    """

    def __init__(self, app: ASGIApp, *, https: bool) -> None:
        self.app = app
        self._always = (*ALWAYS, *((HSTS,) if https else ()))
        self._names = {name for name, _ in self._always} | {_CSP, _CACHE}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = self._guarded(message["headers"])
            await send(message)

        await self.app(scope, receive, send_guarded)

    def _guarded(self, given: Sequence[Raw]) -> list[Raw]:
        names = {name for name, _ in given}
        if names.isdisjoint(self._names):  # as for most answers, which set none of these
            return [*given, *self._always, DATA_POLICY, REVALIDATE if b"etag" in names else NO_STORE]
        headers = [*given, *(header for header in self._always if header[0] not in names)]
        if _CSP not in names:
            headers.append(DATA_POLICY)
        if _CACHE not in names:
            headers.append(REVALIDATE if b"etag" in names else NO_STORE)
        return headers
