"""Traces: one provider a process; spans go out only where a setting names a collector."""

import importlib
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from domain.errors import DependencyError
from runtime.settings import Settings

_EXPORTER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"


def setup_telemetry(settings: Settings, *, service: str) -> TracerProvider:
    """The process's tracer provider; `provider.shutdown()` at the end flushes what is left.

    Raises:
        DependencyError: a collector is set, but the exporter's package is not installed.
    """
    provider = TracerProvider(resource=Resource.create({"service.name": f"delivery-engine-{service}"}))
    if settings.otlp_endpoint:
        provider.add_span_processor(BatchSpanProcessor(_exporter(settings.otlp_endpoint)))
    trace.set_tracer_provider(provider)
    return provider


def _exporter(endpoint: str) -> SpanExporter:
    """OTLP over HTTP. Its package is not in the locks: the embedded stack has no collector."""
    try:
        module: Any = importlib.import_module(_EXPORTER)
    except ModuleNotFoundError as error:
        raise DependencyError(
            "DELIVERY_OTLP_ENDPOINT is set, but the package opentelemetry-exporter-otlp-proto-http is not "
            "installed; install it or unset the setting"
        ) from error
    exporter: SpanExporter = module.OTLPSpanExporter(endpoint=endpoint)
    return exporter
