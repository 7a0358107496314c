"""What should run runs: after a keeper's death, after a stop and start of the stack, after everything died at once."""

import os
import signal

import pytest

from drivers.shim import client
from drivers.targets.process.folder import InstanceFolder
from tests.chaos.invariants import settled
from tests.chaos.power import power_cut, processes_below
from tests.support.load_process import load_on
from tests.support.services import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

BACK_SECONDS = 120.0
RPS = 50


@pytest.fixture(scope="module")
def app(platform):
    made = platform.app("kept")
    made.ship_good(spec={"service": {"replicas": 2}})
    return made


def states(records, app):
    """Where the shims of the application's instances keep their locks."""
    root = records.layout.data / "instances"
    shims = records.shims(records.environment(app.project["id"])["id"])
    return [InstanceFolder(root / name).state for name in sorted(shims)]


def test_an_instance_whose_keeper_was_killed_comes_back(app, records):
    state = states(records, app)[0]
    with load_on(app.service, rps=RPS) as load:
        os.kill(client.status(state).shim_pid, signal.SIGKILL)
        until(lambda: not client.status(state).alive, "its end")
        until(lambda: client.status(state).child_pid is not None, "its return", BACK_SECONDS)
        assert settled(records, app.project["id"]) == []
        summary = load.stop()
    assert summary["failures"] <= 3, summary["examples"]  # what was under way there


def test_a_clean_stop_ends_all_services_and_a_start_brings_them_back(platform, app):
    platform.close_connections()
    platform.stack.down()
    assert processes_below(platform.stack.data_dir) == []
    platform.start()
    until(app.serves, "serving again", 180)


def test_everything_dies_at_once_and_serves_again(platform, app, records):
    power_cut(platform, records)
    platform.start()
    until(app.serves, "serving again", 180)
    assert settled(records, app.project["id"]) == []
    app.ship_good()
