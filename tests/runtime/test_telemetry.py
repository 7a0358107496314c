"""Traces and metrics: nothing without a collector, both at one, and an end also when it is away or hangs."""

import asyncio
import logging
import os
import socket
import subprocess
import sys
from contextlib import closing, suppress

import pytest
from opentelemetry import context
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.trace import use_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from runtime import tracing
from runtime.otlp import Collector, collector_of, otlp_faults
from runtime.settings import ROOT, Settings
from runtime.telemetry import passes, setup_metrics, setup_traces, telemetry, temporal_plugins
from runtime.trace_provider import MAX_TEXT, shape_of
from tests.support.otlp import TRACES, collector, spans_of
from tests.support.tracing import traced_here

BASE = "http://collector:4318"
NOT_INSTALLED = {**os.environ, "OTEL_PROPAGATORS": "b3multi,xray"}
"""Propagators that nobody installed."""


def of(settings: Settings | None = None, **environment: str) -> Collector:
    return collector_of(settings or Settings(), environment)


async def test_without_a_collector_nothing_is_traced():
    assert of() == Collector()
    assert setup_traces(Collector(), service="worker") is None
    assert setup_metrics(Collector(), service="worker") is None
    assert temporal_plugins() == []
    async with telemetry(Settings(), service="api"):
        assert tracing.active() is None
        assert tracing.traceparent() is None
        with tracing.span("nothing"), tracing.continued("00-" + "1" * 32 + "-" + "1" * 16 + "-01", "nothing"):
            assert tracing.trace_id() is None


def test_without_a_collector_nothing_of_it_is_loaded():
    """It takes half a second, at every start of API and worker."""
    code = "import sys, worker, api.app; sys.exit('opentelemetry.sdk' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=NOT_INSTALLED, check=True, timeout=240)


def test_the_usual_variables_say_where_traces_and_metrics_go():
    both = of(OTEL_EXPORTER_OTLP_ENDPOINT=BASE + "/")
    assert (both.traces, both.metrics) == (BASE + "/v1/traces", BASE + "/v1/metrics")
    apart = of(OTEL_EXPORTER_OTLP_ENDPOINT=BASE, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="http://other/spans")
    assert (apart.traces, apart.metrics) == ("http://other/spans", BASE + "/v1/metrics")
    assert of(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="http://other/spans").metrics == ""


def test_our_own_setting_goes_before_them_and_the_sdk_can_be_turned_off():
    ours = Settings(otlp_endpoint=BASE + TRACES)
    assert of(ours, OTEL_EXPORTER_OTLP_ENDPOINT="http://other") == Collector(BASE + TRACES, BASE + "/v1/metrics")
    assert of(ours, OTEL_SDK_DISABLED="true") == Collector()
    assert of(ours, OTEL_TRACES_EXPORTER="none").traces == ""
    assert of(ours, OTEL_METRICS_EXPORTER="none").metrics == ""
    assert of(Settings(otlp_endpoint="http://collector/elsewhere")) == Collector("http://collector/elsewhere")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://[::1"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization: Bearer s3cr3t"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "0"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
        ("OTEL_BSP_SCHEDULE_DELAY", "-1"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_TRACES_SAMPLER_ARG", "10%"),
        ("OTEL_TRACES_SAMPLER_ARG", "2"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "brotli"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere/ca.pem"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "many"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_at_the_start_without_telling_a_secret(name, value):
    faults = list(otlp_faults(Settings(), {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": BASE, name: value}))
    assert faults
    assert name in " ".join(faults)
    assert "s3cr3t" not in " ".join(faults)


def test_good_settings_and_those_of_nothing_that_is_sent_are_no_faults():
    good = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": BASE,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20x,x-team=a b",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "2.5",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        "OTEL_EXPORTER_OTLP_CERTIFICATE": __file__,
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0.1",
        "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "0",
    }
    assert list(otlp_faults(Settings(), good)) == []
    assert list(otlp_faults(Settings(), {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})) == []


async def test_a_span_reaches_the_collector_with_headers_service_and_attributes_of_the_usual_variables(
    monkeypatch, caplog
):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-token=s3cr3t")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=delivery,deployment.environment.name=test")
    with caplog.at_level(logging.DEBUG):
        async with collector() as receiver:
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url(""))
            provider = setup_traces(collector_of(Settings()), service="api")
            assert provider is not None
            with provider.get_tracer(__name__).start_as_current_span("told", attributes={"http.request.method": "GET"}):
                pass
            await asyncio.to_thread(provider.shutdown)
            tracing.activate(None)
            (sent,) = receiver.received
    assert (sent.path, sent.headers["x-token"]) == (TRACES, "s3cr3t")
    assert "s3cr3t" not in caplog.text
    (span,) = spans_of([sent])
    assert (span.name, span.service) == ("told", "delivery")
    assert b"deployment.environment.name" in sent.body


async def test_passes_of_reconcilers_reach_the_same_collector():
    async with collector() as receiver:
        async with telemetry(Settings(otlp_endpoint=receiver.url(TRACES)), service="worker"):
            passes.record("outbox_relay", "mended", 0.5, 3)
        (sent,) = (one for one in receiver.received if one.path == "/v1/metrics")
    (resource,) = ExportMetricsServiceRequest.FromString(sent.body).resource_metrics
    told = {metric.name: metric for scope in resource.scope_metrics for metric in scope.metrics}
    assert told["delivery.reconciler.mended"].sum.data_points[0].as_int == 3
    (point,) = told["delivery.reconciler.pass.duration"].histogram.data_points
    labels = {label.key: label.value.string_value for label in point.attributes}
    assert (labels, point.sum) == ({"reconciler": "outbox_relay", "outcome": "mended"}, 0.5)


ENDING = """
import asyncio, sys
from runtime import tracing
from runtime.settings import Settings
from runtime.telemetry import passes, telemetry

async def main():
    async with telemetry(Settings(otlp_endpoint=sys.argv[1]), service='api'):
        made = tracing.active()
        for number in range(5000):
            made.request('GET', {'http.request.method': 'GET'}, None).end()
        passes.record('x', 'mended', 1, 1)

asyncio.run(main())
"""


@pytest.mark.deep
def test_a_collector_that_is_away_does_not_keep_a_process_from_its_end(free_port):
    """In a process of its own: it ends at all, and well."""
    endpoint = f"http://127.0.0.1:{free_port()}/v1/traces"
    subprocess.run([sys.executable, "-c", ENDING, endpoint], cwd=ROOT, check=True, timeout=240)


def test_neither_does_one_that_hangs_however_long_it_may_take(monkeypatch):
    """It takes connections and says nothing; an hour would be allowed. More spans than the queue holds wait for it."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3600")
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}/v1/traces"
        subprocess.run([sys.executable, "-c", ENDING, endpoint], cwd=ROOT, check=True, timeout=240)


async def test_errors_leave_without_the_passwords_in_their_urls():
    async with traced_here() as told:
        made = tracing.active()
        assert made is not None
        request = made.request("POST", {"http.request.method": "POST"}, None)
        written = f"00-{request.get_span_context().trace_id:032x}-{request.get_span_context().span_id:016x}-01"
        with pytest.raises(ValueError, match="refused"), tracing.continued(written, "driver.call"):
            raise ValueError("https://me:s3cr3t@git.example refused")
        request.end()
        (failed,) = [one for one in await told.spans() if one.name == "driver.call"]
    assert failed.failed
    assert "git.example refused" in failed.text
    assert "s3cr3t" not in failed.text


@pytest.mark.parametrize("before", [0, MAX_TEXT // 2 - 40, MAX_TEXT - 40, 1_000_000])
async def test_errors_are_cut_after_their_secrets_are_taken_out(before):
    """As temporalio records them, and as we do: half a URL does not show that there is a password in it."""
    words = f"{'x' * before} https://me:{'s3cr3t' * 10}@git.example {'y' * before}"
    async with traced_here() as told:
        made = tracing.active()
        assert made is not None
        request = made.request("POST", {"http.request.method": "POST"}, None)
        with use_span(request, end_on_exit=True), suppress(ValueError), made.span("driver.call", {}):
            made.current().record_exception(ValueError(words))
            raise ValueError(words)
        (failed,) = [one for one in await told.spans() if one.name == "driver.call"]
    assert "ValueError" in failed.text
    assert "s3cr3t" not in failed.text
    assert len(failed.text) < 20_000


async def test_rows_that_the_database_quotes_in_its_errors_are_not_told():
    words = (
        '(psycopg.errors.NotNullViolation) null value in column "name" violates not-null constraint\n'
        "DETAIL:  Failing row contains (1, ann@s3cr3t.example,\nsecond line of s3cr3t).\n[SQL: INSERT INTO users]"
    )
    async with traced_here() as told:
        made = tracing.active()
        assert made is not None
        request = made.request("POST", {"http.request.method": "POST"}, None)
        with use_span(request, end_on_exit=True), suppress(ValueError), made.span("driver.call", {}):
            made.current().record_exception(ValueError(words))
            raise ValueError(words)
        (failed,) = [one for one in await told.spans() if one.name == "driver.call"]
    assert "violates not-null" in failed.text
    assert "INSERT INTO users" in failed.text
    assert "s3cr3t" not in failed.text


async def test_what_an_environment_does_by_itself_has_no_trace_id_of_the_delivery_that_started_it():
    """In logs and in rows; its activities, and its next run, know it by the headers that Temporal keeps."""
    async with traced_here():
        made = tracing.active()
        assert made is not None
        request = made.request("POST", {"http.request.method": "POST"}, None)
        headers: dict[str, str] = {}
        with use_span(request), made.span("RunWorkflow:Environment", {}):
            assert tracing.traceparent() is None
            with made.span("StartActivity:environments.next_turn", {}):
                TraceContextTextMapPropagator().inject(headers)
        token = context.attach(TraceContextTextMapPropagator().extract(headers))
        try:
            with made.span("RunActivity:environments.next_turn", {}):
                assert headers
                assert tracing.traceparent() is None
        finally:
            context.detach(token)
        with use_span(request), made.span("RunWorkflow:Deploy", {}):
            assert tracing.trace_id() == f"{request.get_span_context().trace_id:032x}"


async def test_what_looks_again_and_again_is_told_a_few_times_and_counted():
    async with traced_here() as told:
        made = tracing.active()
        assert made is not None
        request = made.request("POST", {"http.request.method": "POST"}, None)
        written = f"00-{request.get_span_context().trace_id:032x}-{request.get_span_context().span_id:016x}-01"
        with tracing.continued(written, "activity"):
            for _ in range(tracing.SAME_BELOW + 7):
                with tracing.span("router.counters"):
                    pass
        spans = await told.spans()
    assert sum(one.name == "router.counters" for one in spans) == tracing.SAME_BELOW
    (activity,) = [one for one in spans if one.name == "activity"]
    assert activity.attributes[tracing.LEFT_OUT] == 7


async def test_what_no_request_asked_for_begins_no_trace():
    async with traced_here() as told:
        made = tracing.active()
        assert made is not None
        with made.span("a pass of a reconciler", {}):
            assert tracing.trace_id() is not None
        assert await told.spans() == []


class Driver:
    size = 3

    async def fetch(self, secret: str) -> str:
        return secret.upper()

    def plain(self) -> int:
        return self.size


async def test_calls_of_a_driver_are_spans_without_their_arguments():
    assert isinstance(tracing.traced(Driver(), "git"), Driver)
    async with traced_here() as told:
        made = tracing.active()
        assert made is not None
        driver = tracing.traced(Driver(), "git")
        request = made.request("POST", {"http.request.method": "POST"}, None)
        written = f"00-{request.get_span_context().trace_id:032x}-{request.get_span_context().span_id:016x}-01"
        with tracing.continued(written, "activity"):
            assert (await driver.fetch("s3cr3t"), driver.plain(), driver.size) == ("S3CR3T", 3, 3)
        (span,) = [one for one in await told.spans() if one.name == "git.fetch"]
    assert span.attributes["delivery.driver"] == "Driver"
    assert "s3cr3t" not in span.text.lower()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        f"00-{'0' * 32}-{'1' * 16}-01",
        f"00-{'1' * 32}-{'0' * 16}-01",
        f"ff-{'1' * 32}-{'1' * 16}-01",
        f"00-{'1' * 32}-{'1' * 16}-01-more",
        f"00-{'A' * 32}-{'1' * 16}-01",
        f"00-{'1' * 32}-{'1' * 16}-01\n",
    ],
)
def test_what_is_no_traceparent_is_none(text):
    assert not tracing.is_traceparent(text)
    assert tracing.trace_id_of(text) is None


def test_a_traceparent_of_a_later_version_is_one():
    assert tracing.is_traceparent(f"01-{'1' * 32}-{'1' * 16}-01-more")


def test_the_shape_of_a_statement_has_no_values():
    name, shape = shape_of("SELECT a\n FROM operations WHERE b = 'it''s s3cr3t' AND c = %(c)s AND d1 = 42 LIMIT 1.5")
    assert (name, shape) == (
        "SELECT operations",
        "SELECT a FROM operations WHERE b = ? AND c = %(c)s AND d1 = ? LIMIT ?",
    )
    assert "s3cr3t" not in shape_of("SELECT a FROM b WHERE c = '" + "s3cr3t" * 2000)[1]
    assert shape_of("SELECT pg_notify(%(channel)s, '')")[0] == "SELECT pg_notify"
    assert shape_of("SAVEPOINT sa_savepoint_1")[0] == "SAVEPOINT"


@pytest.mark.parametrize(
    "module",
    [
        "api.cli.bootstrap_admin",
        *(pytest.param(each, marks=pytest.mark.deep) for each in ("api.app", "worker")),  # both are loaded so above
    ],
)
def test_propagators_that_are_not_installed_are_no_reason_not_to_start(module: str) -> None:
    argv = [sys.executable, "-c", f"import {module}"]
    done = subprocess.run(argv, cwd=ROOT, env=NOT_INSTALLED, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
