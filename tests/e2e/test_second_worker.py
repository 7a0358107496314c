"""A worker that hangs (or whose machine is gone from the network) while another one goes on, and then wakes up."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from runtime.stack import orphans
from tests.chaos.frozen import frozen
from tests.chaos.invariants import settled
from tests.chaos.moments import moments
from tests.chaos.records import Records
from tests.chaos.watching import await_end, await_moment
from tests.support.load_process import load_on

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

RPS = 20


@contextmanager
def another_worker(records: Records) -> Iterator[None]:
    """Beside the one of the stack, on the same data."""
    first = psutil.Process(orphans.running(records.layout)["worker"])
    log = records.layout.log("worker").with_name("another-worker.log")
    with log.open("ab") as output:
        second = subprocess.Popen(first.cmdline(), env=first.environ(), cwd=first.cwd(), stderr=output, stdout=output)
    try:
        yield
    finally:
        second.terminate()
        second.wait(60)


@pytest.mark.long
@pytest.mark.parametrize("step", ["rollout:start", "rollout:verify"])
def test_nothing_is_done_twice_when_a_frozen_worker_wakes_up(platform, records, step):
    app = platform.app(f"frozen-{step.partition(':')[2]}")
    app.ship_good()
    every = moments(1)
    with load_on(app.service, rps=RPS) as load:
        begun = app.begin(spec={"rollout": {"verify_seconds": 3, "scale_down_delay": 1}})
        await_moment(records, begun.accepted.operation_id, next(m for m in every if m.name == step), every)
        with another_worker(records):
            with frozen(records, "worker"):
                row = await_end(records, begun.accepted.operation_id)
                assert row["status"] == "completed", row
            # Awake again: what it was about to do has been done, or is not wanted any more.
            assert settled(records, app.project["id"], 180) == []
            again = app.ship_good()
        assert settled(records, app.project["id"], 180) == []
        summary = load.stop()
    assert app.service.version() == again.version
    assert summary["failures"] == 0, summary["examples"]
