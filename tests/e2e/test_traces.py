"""On the real stack one trace leads from the request to what drivers do, also with the worker killed in the midst."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from drivers.folders import remove_tree
from tests.chaos.moments import moments
from tests.chaos.records import Records
from tests.chaos.victims import Victim, await_back, kill
from tests.support.otlp import Trace, collector, traces_of
from tests.support.platform import App, Platform
from tests.support.receiver import Receiver
from tests.support.services import until

pytestmark = [pytest.mark.e2e, pytest.mark.deep, pytest.mark.timeout(400)]

SECRET = "s3cr3t-of-the-collector"
LINE = (
    "POST /v1/features/{feature_id}/build-and-deploy",
    "RunWorkflow:BuildAndDeploy",
    "StartActivity:build.run",
    "RunActivity:build.run",
    "builder.run",
)
DRIVERS = {"git.fetch", "builder.run", "artifacts.store", "target.start", "router.apply"}
NOW = moments(1)[0]
# It fails where it sees anything of the collector, whose headers are a secret.
SLOW = {"build": {"steps": ["if env | grep -q OTEL_; then exit 3; fi", "echo begun; sleep 4", "python3 build.py"]}}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Short, since unix sockets are below it."""
    made = Path(tempfile.mkdtemp(prefix="de-traces-", dir="/tmp"))
    made.chmod(0o755)  # PostgreSQL runs as another user when we are root
    yield made
    remove_tree(made)


@pytest.fixture(scope="module")
async def receiver() -> AsyncIterator[Receiver]:
    async with collector() as found:
        yield found


@pytest.fixture(scope="module")
async def traced(folder: Path, receiver: Receiver) -> AsyncIterator[Platform]:
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url(""),
        "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer {SECRET}",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
    }
    running = await asyncio.to_thread(Platform, folder / "data", folder / "repositories", environment)
    yield running
    await asyncio.to_thread(running.close)


@pytest.fixture(scope="module")
async def app(traced: Platform) -> App:
    return await asyncio.to_thread(traced.app, "traced")


async def trace_of(receiver: Receiver, trace_id: str, wanted: str) -> Trace:
    """Once a span of that name has arrived, which ends last, and the request's, which comes from another process."""

    def there() -> bool:
        found = traces_of(receiver.received).get(trace_id)
        return found is not None and wanted in found.names and all(not one.parent_id for one in found.roots)

    await asyncio.to_thread(until, there, f"{wanted} in {trace_id}", 120)
    return traces_of(receiver.received)[trace_id]


async def test_a_delivery_is_one_trace_from_its_request_to_its_drivers(app: App, receiver: Receiver, folder: Path):
    shipped = await asyncio.to_thread(app.ship_good)
    trace_id = shipped.operation["trace_id"]
    found = await trace_of(receiver, trace_id, "RunWorkflow:BuildAndDeploy")
    assert [one.name for one in found.roots] == [LINE[0]]
    assert found.repeated == []
    line = iter(found.line(found.named("builder.run")))
    assert all(name in line for name in LINE), found.line(found.named("builder.run"))
    assert found.line(found.named("outbox.workflow_start")) == [LINE[0], "outbox.workflow_start"]
    assert set(found.names) >= DRIVERS
    statement = found.named("INSERT outbox")
    assert found.line(statement) == [LINE[0], "INSERT outbox"]
    assert "%(payload)s" in statement.attributes["db.query.text"]
    assert {one.service for one in found.spans} == {"delivery-engine-api", "delivery-engine-worker"}
    assert [one.name for one in found.spans if one.failed] == []
    for text in (shipped.commit, SECRET, str(app.project["id"])):
        assert not [one.name for one in found.spans if text in one.text]
    assert all(one.headers["authorization"] == f"Bearer {SECRET}" for one in receiver.received)
    logs = folder / "data" / "logs"
    lines = [json.loads(line) for line in (logs / "worker.log").read_text().splitlines() if trace_id in line]
    assert lines
    everything = "".join(file.read_text(errors="replace") for file in logs.rglob("*.log"))
    assert SECRET not in everything


async def test_a_killed_worker_leaves_one_trace_with_each_span_once(app: App, receiver: Receiver, traced: Platform):
    """It is killed in the midst of a build, when what was before has been told: what was not is lost with it."""
    records = Records(traced.stack.data_dir)
    try:
        begun = await asyncio.to_thread(lambda: app.begin(spec=SLOW))
        operation_id = begun.accepted.operation_id
        await asyncio.to_thread(until, lambda: _builds(app, operation_id), "it builds", 120)
        trace_id = app.api.call("GET", f"/operations/{operation_id}")["trace_id"]
        told = lambda: "StartActivity:build.run" in traces_of(receiver.received)[trace_id].names  # noqa: E731
        await asyncio.to_thread(until, told, "the start of the build is told", 120)
        killed = kill(Victim.WORKER, records, operation_id="", moment=NOW, serving="")
        await asyncio.to_thread(await_back, Victim.WORKER, records, killed, 120)
        operation = await asyncio.to_thread(app.api.wait, operation_id, 240)
    finally:
        records.close()
    assert operation["status"] == "completed"
    assert operation["trace_id"] == trace_id
    found = await trace_of(receiver, trace_id, "RunWorkflow:BuildAndDeploy")
    assert found.repeated == []
    assert found.names["RunWorkflow:BuildAndDeploy"] == 1
    # The attempt that was killed could not tell anything any more.
    assert found.names["RunActivity:build.run"] == 1
    assert found.names["StartActivity:artifact.package"] == 1


async def test_a_rollback_is_a_trace_of_its_own_that_points_at_the_deliverys(
    app: App, receiver: Receiver, traced: Platform
):
    shipped = await asyncio.to_thread(app.ship_good)
    path = f"/v1/deployments/{shipped.deployment['id']}/rollback"
    answer = await asyncio.to_thread(lambda: traced.api.raw("POST", path, json={"reason": "to see its trace"}))
    trace_id = answer.json()["meta"]["trace_id"]
    assert trace_id != shipped.operation["trace_id"]
    found = await trace_of(receiver, trace_id, "RunWorkflow:Rollback")
    (root,) = found.roots
    delivery = await trace_of(receiver, shipped.operation["trace_id"], "RunWorkflow:BuildAndDeploy")
    assert root.links == ((delivery.roots[0].trace_id, delivery.roots[0].span_id),)
    assert "router.apply" in found.names


def _builds(app: App, operation_id: str) -> bool:
    return "begun" in app.api.raw("GET", f"/v1/operations/{operation_id}/logs").text.splitlines()
