"""A span for each statement to the database, below the span that is current; loaded only where traces are sent.

Those of a request that leads to nothing else are told only where they failed or took long (`Tracing.statement`).
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry.trace import Span
from sqlalchemy import event
from sqlalchemy.engine import Engine, ExceptionContext

from runtime.tracing import Tracing

_BEGAN = "_delivery_began"
_Began = tuple[Span, str, int]


@contextmanager
def traced_statements(tracing: Tracing) -> Iterator[None]:
    """Of all engines of this process, as long as it lasts. Parameters are never told."""

    def begin(_: Any, __: Any, statement: str, ___: Any, context: Any, ____: Any) -> None:
        if context is None or not (parent := tracing.current()).is_recording():
            return
        setattr(context, _BEGAN, (parent, statement, time.time_ns()))

    def end(_: Any, __: Any, ___: Any, ____: Any, context: Any, _____: Any) -> None:
        if (began := _taken(context)) is not None:
            tracing.statement(*began)

    def fail(fault: ExceptionContext) -> None:
        if (began := _taken(fault.execution_context)) is not None:
            tracing.statement(*began, type(fault.original_exception).__name__)

    listeners = (("before_cursor_execute", begin), ("after_cursor_execute", end), ("handle_error", fail))
    for name, listener in listeners:
        event.listen(Engine, name, listener)
    try:
        yield
    finally:
        for name, listener in listeners:
            event.remove(Engine, name, listener)


def _taken(context: Any) -> _Began | None:
    """When what is executed began; once."""
    began: _Began | None = getattr(context, _BEGAN, None)
    if began is not None:
        setattr(context, _BEGAN, None)
    return began
