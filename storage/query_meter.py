"""Counts the queries of an engine, and the slow ones among them."""

from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncEngine

from runtime.meter import Meter


def meter_queries(engine: AsyncEngine, meter: Meter) -> None:
    """Start counting; a statement executed for many rows at once counts as one."""

    def begin(*args: Any) -> None:
        args[4].metered = meter.query_began()

    def end(*args: Any) -> None:
        meter.query_ended(args[4].metered)

    def fail(failed: ExceptionContext) -> None:
        began = getattr(failed.execution_context, "metered", None)
        if began is not None:
            meter.query_ended(began)

    event.listen(engine.sync_engine, "before_cursor_execute", begin)
    event.listen(engine.sync_engine, "after_cursor_execute", end)
    event.listen(engine.sync_engine, "handle_error", fail)
