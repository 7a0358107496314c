"""Starts a trace for a request, or continues its caller's.

A `traceparent` header is accepted only from callers with valid credentials. Then the trace id and the parent are
theirs, but not the sampling decision: their flag can prevent recording (with a sampler that follows parents, as the
default does), and never force it.

Reads are recorded only as far as `Allowance` permits: hundreds of pollers send the same request all day, and a span
costs a tenth of such a request. Writes are always recorded, as the sampler decides.
"""

import random
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from fastapi import Request
from opentelemetry import trace
from opentelemetry.trace import Span, Status, StatusCode
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.auth.authentication import identify
from api.rate_limits.middleware import is_unlimited
from runtime import tracing
from runtime.logging import get_logger
from runtime.trace_provider import REQUEST

log = get_logger(__name__)

READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
METHODS: Final = READS | {"POST", "PUT", "PATCH", "DELETE"}
READS_A_SECOND: Final = 10.0
READS_AT_ONCE: Final = 20.0
FAULT: Final = 500
_CREDENTIALS: Final = frozenset({b"authorization", b"x-api-key"})


class Allowance:
    """A token bucket: a rate per second, and a burst after a pause."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._left, self._seen = burst, clock()

    def take(self) -> bool:
        """Whether a token is left."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._seen) * self._rate)
        self._seen = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class RequestTraces:
    """Outermost except for the headers, so that the request's log line has its trace."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._reads = Allowance(READS_A_SECOND, READS_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        made = tracing.active()
        if made is None or scope["type"] != "http" or is_unlimited(scope["path"]):
            await self.app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        given = await _caller_trace(scope)
        if scope["method"] in READS and not self._reads.take():
            # The id is returned anyway: it is in the log.
            state["trace_id"] = tracing.trace_id_of(given) or f"{random.getrandbits(128) or 1:032x}"
            await self.app(scope, receive, send)
            return
        await self._recorded(made, given, scope, receive, send)

    async def _recorded(
        self, made: tracing.Tracing, given: str | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        span = made.request(method, {REQUEST: method}, given)
        scope["state"]["trace_id"] = f"{span.get_span_context().trace_id:032x}"
        status = 0

        async def send_and_see(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            try:
                await self.app(scope, receive, send_and_see)
            finally:
                made.over(span)
                if span.is_recording():
                    _describe(span, method, scope, status)


def _describe(span: Span, method: str, scope: Scope, status: int) -> None:
    route = _route(scope)
    span.update_name(f"{method} {route}" if route else method)
    told: dict[str, Any] = {"http.route": route, "http.response.status_code": status}
    told["delivery.request_id"] = scope["state"].get("request_id")
    span.set_attributes({name: value for name, value in told.items() if value})
    if status >= FAULT:
        span.set_status(Status(StatusCode.ERROR, str(status)))


def _route(scope: Mapping[str, Any]) -> str:
    """The path with names of its parameters, whose values may be secret; empty: no such route."""
    if scope.get("endpoint") is None:
        return ""
    parts = scope["path"].split("/")
    names = {str(value): f"{{{name}}}" for name, value in scope.get("path_params", {}).items()}
    return "/".join(names.get(part, part) for part in parts)


async def _caller_trace(scope: Scope) -> str | None:
    """The caller's `traceparent`, if it is valid and the caller is authenticated."""
    names = [name for name, _ in scope["headers"]]
    if b"traceparent" not in names or _CREDENTIALS.isdisjoint(names):
        return None
    values = [value for name, value in scope["headers"] if name == b"traceparent"]
    text = values[0].decode("latin-1")
    if len(values) > 1 or not tracing.is_traceparent(text):
        return None
    request = Request(scope)
    try:
        identity = await identify(request, request.app.state.parts)
    except Exception:  # it is asked for again when there is a handler for the error
        log.exception("trace.caller_unknown")
        return None
    return text if identity.principal is not None else None
