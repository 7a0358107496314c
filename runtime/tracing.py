"""Spans, as the rest of the product makes them: a few functions that do nothing where nothing is traced.

A trace begins with a request (`api.http.request_traces`) and with nothing else: what a reconciler does by itself has
metrics. OpenTelemetry is loaded only where traces are sent (`runtime.trace_provider`); it takes half a second.
"""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, cast
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from opentelemetry.trace import Span

T = TypeVar("T")

# Of one span: so many below it with the same name. What looks every second for an hour is not told 3,600 times.
SAME_BELOW: Final = 20
LEFT_OUT: Final = "delivery.left_out"
_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
_OF_VERSION_0: Final = 55


class Tracing(Protocol):
    """The spans of this process; `runtime.trace_provider` has the real one."""

    def current(self) -> "Span":
        """One that is not recorded where there is none."""

    def traceparent(self) -> str | None:
        """The current span as W3C writes it."""

    def lead_on(self) -> None:
        """Something else follows from the current request, so that all of it is told."""

    def span(self, name: str, attributes: Mapping[str, str | int]) -> AbstractContextManager[object]:
        """Below the current one."""

    def within(self, kept: str | None) -> AbstractContextManager[None]:
        """As if the span that `kept` names were the current one; None: no span is."""

    def link(self, kept: str) -> None:
        """From the current span to another trace's."""

    def request(self, name: str, attributes: Mapping[str, str | int], given: str | None) -> "Span":
        """The span of a request. `given`: the traceparent of a caller whom we know."""

    def over(self, request: "Span") -> None:
        """A request has ended."""

    def statement(self, parent: "Span", statement: str, start_ns: int, fault: str | None = None) -> None:
        """A statement to the database that is over now; `start_ns`: since 1970; `fault`: what went wrong."""


_active: Tracing | None = None
_below: "WeakKeyDictionary[Span, dict[str, int]]" = WeakKeyDictionary()


def activate(tracing: Tracing | None) -> None:
    """From now on this process traces, or no more."""
    global _active  # noqa: PLW0603 - one a process, as OpenTelemetry's own provider is
    _active = tracing


def active() -> Tracing | None:
    """What this process traces with; None: nothing is traced."""
    return _active


def is_traceparent(text: str) -> bool:
    """Whether it is a header `traceparent` that W3C Trace Context knows, of any version."""
    return bool(_TRACEPARENT.fullmatch(text)) and (len(text) == _OF_VERSION_0 or not text.startswith("00"))


def trace_id_of(traceparent: str | None) -> str | None:
    """The trace that a stored `traceparent` belongs to."""
    return traceparent.split("-")[1] if traceparent and is_traceparent(traceparent) else None


def traceparent() -> str | None:
    """The current span as W3C writes it, for a row that is carried out later; None: there is none."""
    if _active is None:
        return None
    _active.lead_on()
    return _active.traceparent()


def trace_id() -> str | None:
    """Of the current span."""
    return None if _active is None else trace_id_of(_active.traceparent())


@contextmanager
def span(name: str, **attributes: str | int) -> Iterator[None]:
    """A span below the current one; without one that is recorded: nothing. Never give it what may be a secret."""
    if _active is None or not has_room(_active.current(), name):
        yield
        return
    with _active.span(name, attributes):
        yield


@contextmanager
def continued(kept: str | None, name: str) -> Iterator[None]:
    """A span of the trace that a row was written in; a row of no trace makes none, whatever is current."""
    if _active is None:
        yield
        return
    with _active.within(kept), _active.span(name, {}) if kept else nullcontext():
        yield


@contextmanager
def within(kept: str | None) -> Iterator[None]:
    """In the trace of an operation, also where somebody else's request does something for it."""
    if _active is None or (kept is not None and trace_id_of(kept) == trace_id()):
        yield
        return
    with _active.within(kept):
        yield


def link(kept: str | None) -> None:
    """The current span points at what was decided about, which is another trace."""
    if _active is not None and kept is not None and trace_id_of(kept) != trace_id():
        _active.link(kept)


def has_room(parent: "Span", name: str) -> bool:
    """Whether another span of this name may be below; those that may not are counted in an attribute."""
    if not parent.is_recording():
        return False
    names = _below.setdefault(parent, {})
    names[name] = count = names.get(name, 0) + 1
    if count > SAME_BELOW:
        names[LEFT_OUT] = left_out = names.get(LEFT_OUT, 0) + 1
        parent.set_attribute(LEFT_OUT, left_out)
        return False
    return True


def traced(driver: T, kind: str) -> T:
    """A driver whose calls are spans `<kind>.<method>`; the driver itself where nothing is traced."""
    return driver if _active is None else cast("T", _Traced(driver, kind))


class _Traced:
    """In place of a driver. Arguments and results are not told: they may hold secrets."""

    def __init__(self, driver: object, kind: str) -> None:
        self._driver = driver
        self._kind = kind

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._driver, name)
        if name.startswith("_") or not inspect.iscoroutinefunction(found):
            return found
        told = self.__dict__[name] = _told(found, f"{self._kind}.{name}", type(self._driver).__name__)
        return told


def _told(call: Callable[..., Any], name: str, driver: str) -> Callable[..., Any]:
    @wraps(call)
    async def told(*arguments: Any, **named: Any) -> Any:
        with span(name, **{"delivery.driver": driver}):
            return await call(*arguments, **named)

    return told
