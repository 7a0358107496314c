"""Traces and metrics, sent to a collector where one is set (`runtime.otlp`).

A trace is a request and all that follows from it (`runtime.tracing`); metrics are those of the reconcilers. Without a
collector nothing is made and nothing is loaded: OpenTelemetry and its exporter take half a second to import, which
every start of the API and of a worker would pay.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from runtime import tracing
from runtime.otlp import Collector, collector_of
from runtime.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.metrics import Counter, Histogram
    from opentelemetry.sdk.metrics import MeterProvider
    from temporalio.contrib.opentelemetry import OpenTelemetryPlugin, ReplaySafeTracerProvider

# Of one request to the collector, retries included, where OTEL_EXPORTER_OTLP_TIMEOUT says nothing else.
EXPORT_S: Final = 3.0
# A collector that is away, or that hangs, delays the end of a process by this much; then what still waits is lost.
END_S: Final = 4.0
# Metrics are sent so often.
METRICS_EVERY_S: Final = 30.0
# It quotes a header that it cannot read, which may be a password.
_QUOTES_HEADERS: Final = "opentelemetry.util.re"
# At each workflow that leaves the cache it tells an error, with a traceback; nothing is wrong.
_TELLS_EVICTIONS: Final = "opentelemetry.context"


class Passes:
    """Passes of the reconcilers as metrics: how long they take, what became of them, how much they mended."""

    def __init__(self) -> None:
        self._seconds: Histogram | None = None
        self._mended: Counter | None = None

    def measure(self, provider: "MeterProvider") -> None:
        """From now on."""
        meter = provider.get_meter("delivery.reconcilers")
        self._seconds = meter.create_histogram("delivery.reconciler.pass.duration", "s", "one pass of a reconciler")
        self._mended = meter.create_counter("delivery.reconciler.mended", "1", "differences that a reconciler mended")

    def record(self, reconciler: str, outcome: str, seconds: float, mended: int) -> None:
        """One pass; nothing without a collector."""
        if self._seconds is not None:
            self._seconds.record(seconds, {"reconciler": reconciler, "outcome": outcome})
        if self._mended is not None and mended:
            self._mended.add(mended, {"reconciler": reconciler})


passes: Final = Passes()
"""Those of this process."""


def setup_traces(collector: Collector, *, service: str) -> "ReplaySafeTracerProvider | None":
    """The process's tracer provider, which exports by OTLP over HTTP; None where no traces are sent.

    A collector that does not answer delays nothing: spans wait in a bounded queue (`OTEL_BSP_MAX_QUEUE_SIZE`,
    2048), and are dropped when it is full.
    """
    if not collector.traces:
        return None
    from runtime.trace_provider import make_provider  # noqa: PLC0415 - slow to load, see above

    provider, made = make_provider(collector.traces, _resource(collector, service), _timeout(collector))
    tracing.activate(made)
    return provider


def setup_metrics(collector: Collector, *, service: str) -> "MeterProvider | None":
    """The same for metrics; None where none are sent."""
    if not collector.metrics:
        return None
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter  # noqa: PLC0415 - slow to load, see above
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415 - slow to load, see above
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader  # noqa: PLC0415 - slow to load, see above
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - slow to load, see above

    exporter = OTLPMetricExporter(collector.metrics, timeout=_timeout(collector))
    reader = PeriodicExportingMetricReader(exporter, METRICS_EVERY_S * 1000)
    provider = MeterProvider([reader], Resource.create(_resource(collector, service)), shutdown_on_exit=False)
    passes.measure(provider)
    return provider


@asynccontextmanager
async def telemetry(settings: Settings, *, service: str) -> AsyncIterator[None]:
    """Traces and metrics around the life of a process: what still waits is sent at its end."""
    collector = collector_of(settings)
    logging.getLogger(_QUOTES_HEADERS).setLevel(logging.ERROR)
    logging.getLogger(_TELLS_EVICTIONS).setLevel(logging.CRITICAL)
    providers = (setup_traces(collector, service=service), setup_metrics(collector, service=service))
    with ExitStack() as stack:
        if (made := tracing.active()) is not None:
            from runtime.traced_statements import traced_statements  # noqa: PLC0415 - slow to load, see above

            stack.enter_context(traced_statements(made))
        try:
            yield
        finally:
            tracing.activate(None)
            await asyncio.gather(*(_ended(one.shutdown) for one in providers if one is not None))


def temporal_plugins() -> "list[OpenTelemetryPlugin]":
    """What a Temporal client, and the workers made of it, need to trace; nothing where this process does not."""
    if tracing.active() is None:
        return []
    from temporalio.contrib.opentelemetry import OpenTelemetryPlugin  # noqa: PLC0415 - slow to load, see above

    return [OpenTelemetryPlugin(add_temporal_spans=True)]


def _resource(collector: Collector, service: str) -> dict[str, str]:
    """`OTEL_RESOURCE_ATTRIBUTES` comes on top; one name may be given to all processes."""
    process = {"delivery.process": service}
    return process if collector.is_named else {"service.name": f"delivery-engine-{service}", **process}


def _timeout(collector: Collector) -> float | None:
    return None if collector.has_timeout else EXPORT_S


async def _ended(shutdown: Callable[[], Any]) -> None:
    """In a thread that nobody waits for longer than `END_S`, not even the interpreter at its own end."""
    done, loop = asyncio.Event(), asyncio.get_running_loop()

    def end() -> None:
        try:
            shutdown()
        finally:
            with suppress(RuntimeError):  # it took longer than the loop lasted
                loop.call_soon_threadsafe(done.set)

    threading.Thread(target=end, name="telemetry.end", daemon=True).start()
    try:
        async with asyncio.timeout(END_S):
            await done.wait()
    except TimeoutError:
        return
