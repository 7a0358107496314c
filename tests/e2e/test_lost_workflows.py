"""A workflow that is gone: its operation fails truthfully, what served before serves, the next delivery works."""

import itertools
import os
import signal
from contextlib import ExitStack

import pytest
from temporalio.client import Client

from drivers.shim import client
from runtime.stack import orphans
from tests.chaos.frozen import frozen
from tests.chaos.invariants import settled
from tests.chaos.moments import moments
from tests.chaos.watching import await_end, await_moment
from tests.support.load_process import load_on
from tests.support.services import until

pytestmark = [pytest.mark.e2e, pytest.mark.deep, pytest.mark.timeout(400)]

RPS = 50
FOUND_SECONDS = 240.0
LONG = {"build": {"steps": ["python3 build.py", "sleep 200"], "timeout": 300}}
NUMBERS = itertools.count()
WATCHED = {"rollout": {"scale_down_delay": 1, "verify_seconds": 200}}


def good_app(platform):
    made = platform.app(f"lost{next(NUMBERS)}")
    made.ship_good()
    return made


@pytest.fixture
def app(platform):
    return good_app(platform)


def begun(app, records, step, spec):
    """An operation that stands at a step."""
    operation_id = app.begin(spec=spec).accepted.operation_id
    every = moments(1)
    await_moment(records, operation_id, next(m for m in every if m.name == step), every)
    state = records.layout.data / "workspaces" / operation_id / "state" / "build"
    until(lambda: step != "build" or client.status(state).alive, "the build runs")
    return operation_id


def check_lost(app, records, operation_id, version, load):
    row = await_end(records, operation_id, FOUND_SECONDS)
    assert (row["status"], row["error"]["code"]) == ("failed", "ORCHESTRATION_LOST"), row
    assert settled(records, app.project["id"]) == []
    summary = load.stop()
    assert summary["failures"] == 0, summary["examples"]
    assert app.service.version() == version
    again = app.ship_good()
    assert app.service.version() == again.version


async def test_terminated_workflows(platform, records):
    """At two steps, of two applications, so that both are found in one wait."""
    steps = {"rollout:verify": WATCHED, "build": LONG}
    apps = {step: good_app(platform) for step in steps}
    versions = {step: app.service.version() for step, app in apps.items()}
    temporal = await Client.connect(platform.stack.addresses["temporal"])
    with ExitStack() as running:
        loads = {step: running.enter_context(load_on(app.service, rps=RPS)) for step, app in apps.items()}
        operations = {step: begun(apps[step], records, step, spec) for step, spec in steps.items()}
        for operation_id in operations.values():
            await temporal.get_workflow_handle(records.workflow_of(operation_id)).terminate("a test")
        for step, operation_id in operations.items():
            check_lost(apps[step], records, operation_id, versions[step], loads[step])


@pytest.mark.deep
async def test_a_workflow_terminated_in_the_middle_of_the_switch(platform, records, app):
    """Promoted and not retired, or not even promoted: whichever it was, one release serves and the other is gone."""
    temporal = await Client.connect(platform.stack.addresses["temporal"])
    with load_on(app.service, rps=RPS) as load:
        operation_id = begun(app, records, "rollout:promote", {})
        with frozen(records, "worker"):
            await temporal.get_workflow_handle(records.workflow_of(operation_id)).terminate("a test")
        row = await_end(records, operation_id, FOUND_SECONDS)
        assert (row["status"], row["error"]["code"]) == ("failed", "ORCHESTRATION_LOST"), row
        assert settled(records, app.project["id"], 180) == []
        summary = load.stop()
    assert summary["failures"] == 0, summary["examples"]
    again = app.ship_good()
    assert app.service.version() == again.version


@pytest.mark.deep
def test_a_lost_file_of_temporal(records, app):
    version = app.service.version()
    with load_on(app.service, rps=RPS) as load:
        operation_id = begun(app, records, "build", LONG)
        with frozen(records, "temporal"):
            for path in records.layout.data.glob("temporal.db*"):
                path.unlink()
            os.kill(orphans.running(records.layout)["temporal"], signal.SIGKILL)
        check_lost(app, records, operation_id, version, load)


def removed(path):
    for each in path.parent.glob(f"{path.name}*"):
        each.unlink()


def overwritten(path):
    removed(path)
    path.write_bytes(b"not a database " * 10_000)


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.parametrize("damage", [removed, overwritten])
def test_temporals_file_is_lost_while_the_stack_is_down(platform, records, app, damage):
    """The engine comes up without it, what was under way ends truthfully, what served serves, the next is shipped."""
    version = app.service.version()
    operation_id = begun(app, records, "build", LONG)
    platform.close_connections()
    platform.stack.down()
    records.close()
    damage(records.layout.data / "temporal.db")
    platform.start()
    until(app.serves, "serving again", 180)
    row = await_end(records, operation_id, FOUND_SECONDS + 30)
    assert (row["status"], row["error"]["code"]) == ("failed", "ORCHESTRATION_LOST"), row
    assert settled(records, app.project["id"]) == []
    assert app.service.version() == version
    again = app.ship_good()
    assert app.service.version() == again.version
