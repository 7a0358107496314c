"""With DELIVERY_OTLP_ENDPOINT one trace leads from a workflow's start to the worker's activities."""

import asyncio
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from drivers.folders import remove_tree
from tests.support.platform import Platform
from tests.support.receiver import Receiver, Reply
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

# Whoever comes first starts the workflow: the API at once, or the relay in the worker.
WANTED = {
    "StartWorkflow:BuildAndDeploy",
    "RunWorkflow:BuildAndDeploy",
    "StartActivity:build.run",
    "RunActivity:build.run",
    "RunActivity:traffic.shift",
}
SERVICES = {"delivery-engine-api", "delivery-engine-worker"}


def told(collector: Receiver) -> tuple[set[str], list[set[str]]]:
    """The services that sent spans, and the names of the spans of each trace."""
    services: set[str] = set()
    traces: dict[bytes, set[str]] = defaultdict(set)
    for sent in (one for one in collector.received if one.path == "/v1/traces"):
        for resource in ExportTraceServiceRequest.FromString(sent.body).resource_spans:
            services.update(a.value.string_value for a in resource.resource.attributes if a.key == "service.name")
            for span in (span for scope in resource.scope_spans for span in scope.spans):
                traces[span.trace_id].add(span.name)
    return services, list(traces.values())


def is_told(collector: Receiver) -> bool:
    services, traces = told(collector)
    return services >= SERVICES and any(names >= WANTED for names in traces)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, since unix sockets are below it."""
    made = Path(tempfile.mkdtemp(prefix="de-traces-", dir="/tmp"))
    made.chmod(0o755)  # PostgreSQL runs as another user when we are root
    yield made
    remove_tree(made)


@pytest.mark.deep
async def test_a_delivery_is_one_trace_from_its_start_to_its_activities_and_the_api_sends_too(folder: Path):
    async with Receiver() as collector:
        collector.answer = lambda _: Reply(200)
        environment = {"DELIVERY_OTLP_ENDPOINT": collector.url("/v1/traces")}
        running = await asyncio.to_thread(Platform, folder / "data", folder / "repositories", environment)
        try:
            await asyncio.to_thread(lambda: running.app("traced").ship_good())
            await until(lambda: is_told(collector))
        finally:
            await asyncio.to_thread(running.close)
        # At the latest when the worker ends.
        measured = b"".join(sent.body for sent in collector.received if sent.path == "/v1/metrics")
        assert b"delivery.reconciler.pass.duration" in measured
        assert b"outbox_relay" in measured
