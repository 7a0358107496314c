"""Traces: spans of workflows and activities, and of the API's calls of them, sent to a collector where one is set.

Without `DELIVERY_OTLP_ENDPOINT` nothing is made and nothing is loaded: OpenTelemetry and its exporter take half a
second to import, which every start of the API and of a worker would pay.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from runtime.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from temporalio.contrib.opentelemetry import TracingInterceptor

# Of one request to the collector, retries included. A collector that is away delays the end of a process by this much.
EXPORT_S: Final = 3.0


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


@asynccontextmanager
async def telemetry(settings: Settings, *, service: str) -> AsyncIterator[None]:
    """`setup_telemetry` around the life of a process: spans that still wait are sent at its end."""
    provider = setup_telemetry(settings, service=service)
    try:
        yield
    finally:
        if provider is not None:
            await asyncio.to_thread(provider.shutdown)


def interceptors(settings: Settings) -> "list[TracingInterceptor]":
    """What a Temporal client, and the workers made of it, need to trace; nothing without a collector."""
    if not settings.otlp_endpoint:
        return []
    from temporalio.contrib.opentelemetry import TracingInterceptor  # noqa: PLC0415 - slow to load, see above

    return [TracingInterceptor()]
