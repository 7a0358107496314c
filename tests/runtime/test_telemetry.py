"""Traces and metrics: nothing without a collector, both at one, and an end also when it is away."""

import asyncio
import subprocess
import sys

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from runtime.settings import ROOT, Settings
from runtime.telemetry import interceptors, passes, setup_metrics, setup_telemetry, telemetry
from tests.support.receiver import Receiver, Reply


async def test_without_a_collector_nothing_is_traced():
    assert setup_telemetry(Settings(), service="worker") is None
    assert setup_metrics(Settings(), service="worker") is None
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


async def test_passes_of_reconcilers_reach_the_same_collector():
    async with Receiver() as collector:
        collector.answer = lambda _: Reply(200)
        async with telemetry(Settings(otlp_endpoint=collector.url("/v1/traces")), service="worker"):
            passes.record("outbox_relay", "mended", 0.5, 3)
        (sent,) = (one for one in collector.received if one.path == "/v1/metrics")
    (resource,) = ExportMetricsServiceRequest.FromString(sent.body).resource_metrics
    told = {metric.name: metric for scope in resource.scope_metrics for metric in scope.metrics}
    assert told["delivery.reconciler.mended"].sum.data_points[0].as_int == 3
    (point,) = told["delivery.reconciler.pass.duration"].histogram.data_points
    labels = {label.key: label.value.string_value for label in point.attributes}
    assert (labels, point.sum) == ({"reconciler": "outbox_relay", "outcome": "mended"}, 0.5)


def test_a_collector_that_is_away_does_not_keep_a_process_from_its_end(free_port):
    """In a process of its own: it ends at all, and well."""
    endpoint = f"http://127.0.0.1:{free_port()}/v1/traces"
    code = (
        "import asyncio, sys; from runtime.settings import Settings; from runtime.telemetry import passes, telemetry\n"
        "from opentelemetry import trace\n"
        "async def main():\n"
        "    async with telemetry(Settings(otlp_endpoint=sys.argv[1]), service='api'):\n"
        "        trace.get_tracer('x').start_span('lost').end(); passes.record('x', 'mended', 1, 1)\n"
        "asyncio.run(main())"
    )
    subprocess.run([sys.executable, "-c", code, endpoint], cwd=ROOT, check=True, timeout=240)
