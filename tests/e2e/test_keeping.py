"""What should run runs: after a keeper's death, after a stop and start of the stack, after everything died at once."""

import os
import signal

import psutil
import pytest

from drivers.shim import client
from drivers.targets.process.folder import InstanceFolder
from runtime.stack import leftovers
from tests.chaos.invariants import settled
from tests.support.load_process import load_on
from tests.support.services import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

BACK_SECONDS = 15.0
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


def serves(app):
    return app.service.get("/version").status_code == 200


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
    until(lambda: serves(app), "serving again", 30)


def test_everything_dies_at_once_and_serves_again(platform, app, records):
    pids = list(leftovers.running(records.layout).values())
    pids += [process.pid for process in processes_below(platform.stack.data_dir)]
    platform.close_connections()
    for pid in dict.fromkeys([platform.stack.kill(), *pids]):
        kill(pid)
    until(lambda: processes_below(platform.stack.data_dir) == [], "the end of everything")
    platform.start()
    until(lambda: serves(app), "serving again", 30)
    records.close()
    assert settled(records, app.project["id"]) == []
    app.ship_good()


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def processes_below(data_dir):
    """Processes that work in the data folder or were started on something in it."""
    home, found = f"{data_dir}{os.sep}", []
    for process in psutil.process_iter(["cmdline", "cwd", "status"]):
        places = [process.info["cwd"] or "", *(process.info["cmdline"] or ())]
        if process.info["status"] != psutil.STATUS_ZOMBIE and any(place.startswith(home) for place in places):
            found.append(process)
    return found
