"""What should run runs, also after its shim was killed; stops of the whole stack are in `test_power_cuts.py`."""

import os
import signal

import pytest

from drivers.shim import client
from drivers.targets.process.folder import InstanceFolder
from tests.chaos.invariants import settled
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


def test_an_instance_whose_shim_was_killed_comes_back(app, records):
    state = states(records, app)[0]
    with load_on(app.service, rps=RPS) as load:
        killed = client.status(state).shim_pid
        os.kill(killed, signal.SIGKILL)
        until(lambda: client.status(state).shim_pid not in (None, killed), "another shim", BACK_SECONDS)
        until(lambda: client.status(state).child_pid is not None, "its return", BACK_SECONDS)
        assert settled(records, app.project["id"]) == []
        summary = load.stop()
    assert summary["failures"] <= 3, summary["examples"]  # what was under way there
