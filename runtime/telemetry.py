"""Traces and metrics, sent to a collector where one is set.

Traces are spans of workflows and activities, and of the API's calls of them; metrics are those of the reconcilers.
Without `DELIVERY_OTLP_ENDPOINT` nothing is made and nothing is loaded: OpenTelemetry and its exporter take half a
second to import, which every start of the API and of a worker would pay.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from runtime.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.metrics import Counter, Histogram
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider
    from temporalio.contrib.opentelemetry import TracingInterceptor

# Of one request to the collector, retries included. A collector that is away delays the end of a process by this much.
EXPORT_S: Final = 3.0
# Metrics are sent so often.
METRICS_EVERY_S: Final = 30.0
TRACES_PATH, METRICS_PATH = "/v1/traces", "/v1/metrics"


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


def setup_telemetry(settings: Settings, *, service: str) -> "TracerProvider | None":
    """The process's tracer provider, which exports by OTLP over HTTP; None without a collector.

    A collector that does not answer delays nothing: spans wait in a bounded queue, and are dropped when it is full.
    """
    if not settings.otlp_endpoint:
        return None
    from opentelemetry import trace  # noqa: PLC0415 - slow to load, see above
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - half a second of imports, for who asks for traces only
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - half a second of imports, for who asks for traces only
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - half a second of imports, for who asks for traces only
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - half a second of imports, for who asks for traces only

    provider = TracerProvider(resource=Resource.create({"service.name": f"delivery-engine-{service}"}))
    exporter = OTLPSpanExporter(endpoint=settings.otlp_endpoint, timeout=EXPORT_S)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return provider


def setup_metrics(settings: Settings, *, service: str) -> "MeterProvider | None":
    """The same for metrics, which go to the same collector; None where its path is another one than `/v1/traces`."""
    if not settings.otlp_endpoint.endswith(TRACES_PATH):
        return None
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter  # noqa: PLC0415 - slow to load, see above
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415 - slow to load, see above
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader  # noqa: PLC0415 - slow to load, see above
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - slow to load, see above

    exporter = OTLPMetricExporter(settings.otlp_endpoint.removesuffix(TRACES_PATH) + METRICS_PATH, timeout=EXPORT_S)
    reader = PeriodicExportingMetricReader(exporter, METRICS_EVERY_S * 1000)
    resource = Resource.create({"service.name": f"delivery-engine-{service}"})
    provider = MeterProvider([reader], resource, shutdown_on_exit=False)
    passes.measure(provider)
    return provider


@asynccontextmanager
async def telemetry(settings: Settings, *, service: str) -> AsyncIterator[None]:
    """Traces and metrics around the life of a process: what still waits is sent at its end."""
    providers = (setup_telemetry(settings, service=service), setup_metrics(settings, service=service))
    try:
        yield
    finally:
        await asyncio.gather(*(asyncio.to_thread(one.shutdown) for one in providers if one is not None))


def interceptors(settings: Settings) -> "list[TracingInterceptor]":
    """What a Temporal client, and the workers made of it, need to trace; nothing without a collector."""
    if not settings.otlp_endpoint:
        return []
    from temporalio.contrib.opentelemetry import TracingInterceptor  # noqa: PLC0415 - slow to load, see above

    return [TracingInterceptor()]
