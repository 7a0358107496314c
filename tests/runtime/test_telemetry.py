"""Traces: nothing without a collector, spans at one, and an end also when it is away."""

import asyncio
import subprocess
import sys

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from runtime.settings import ROOT, Settings
from runtime.telemetry import interceptors, setup_telemetry, telemetry
from tests.support.receiver import Receiver, Reply


async def test_without_a_collector_nothing_is_traced():
    assert setup_telemetry(Settings(), service="worker") is None
    assert interceptors(Settings()) == []
    async with telemetry(Settings(), service="api"):
        pass


def test_without_a_collector_nothing_of_it_is_loaded():
    """It takes half a second, at every start of API and worker."""
    code = "import sys, worker, api.app; sys.exit('opentelemetry.sdk' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=240)


async def test_a_span_reaches_the_collector_at_the_latest_when_the_process_ends():
    async with Receiver() as collector:
        collector.answer = lambda _: Reply(200)
        provider = setup_telemetry(Settings(otlp_endpoint=collector.url("/v1/traces")), service="api")
        assert provider is not None
        with provider.get_tracer(__name__).start_as_current_span("told"):
            pass
        await asyncio.to_thread(provider.shutdown)
        (sent,) = collector.received
    assert sent.path == "/v1/traces"
    (resource,) = ExportTraceServiceRequest.FromString(sent.body).resource_spans
    assert {a.key: a.value.string_value for a in resource.resource.attributes}["service.name"] == "delivery-engine-api"
    assert [span.name for scope in resource.scope_spans for span in scope.spans] == ["told"]


def test_a_collector_that_is_away_does_not_keep_a_process_from_its_end(free_port):
    """In a process of its own: it ends at all, and well."""
    endpoint = f"http://127.0.0.1:{free_port()}/v1/traces"
    code = (
        "import sys; from runtime.settings import Settings; from runtime.telemetry import setup_telemetry;"
        "provider = setup_telemetry(Settings(otlp_endpoint=sys.argv[1]), service='api');"
        "provider.get_tracer('x').start_span('lost').end(); provider.shutdown()"
    )
    subprocess.run([sys.executable, "-c", code, endpoint], cwd=ROOT, check=True, timeout=240)
