"""The clock of API and worker is set an hour forward or back while something is under way."""

import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from drivers.folders import remove_tree
from tests.chaos.invariants import settled
from tests.chaos.records import Records
from tests.chaos.watching import await_row
from tests.support.load_process import load_on
from tests.support.moved_clock import MovedClock
from tests.support.platform import Platform
from tests.support.services import until

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(600)]

HOUR = 3600 + 120  # and a little: longer than a token is good
WATCHED_S = 20.0
WATCHED = {"rollout": {"scale_down_delay": 1, "verify_seconds": WATCHED_S}}
JUMPS = pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forward", "back"])


@pytest.fixture(scope="module")
def folder():
    """Without a space in its path: the loader takes one for the end of a name."""
    made = Path(tempfile.mkdtemp(prefix="de-clk-", dir="/tmp"))
    made.chmod(0o755)
    yield made
    remove_tree(made)


@pytest.fixture(scope="module")
def clock(folder):
    return MovedClock(folder)


@pytest.fixture(scope="module")
def moving(folder, clock):
    """A stack of its own, whose API and worker have this clock."""
    running = Platform(folder / "data", folder / "repositories", clock.environment)
    yield running
    running.close()


@pytest.fixture
def here(moving):
    found = Records(moving.stack.data_dir)
    yield found
    found.close()


@pytest.fixture
def right(clock, moving):
    """The clock is right again at the end."""
    yield
    clock.set(0)
    moving.log_in()


def set_clock(moving, clock, seconds: int) -> None:
    """And see that the API has it."""
    clock.set(seconds)

    def is_set() -> bool:
        told = datetime.fromisoformat(moving.api.raw("GET", "/health").json()["timestamp"])
        return bool(abs((told - datetime.now(UTC)).total_seconds() - seconds) < HOUR / 2)

    until(is_set, f"a clock that is {seconds} s off", 60)


@JUMPS
@pytest.mark.usefixtures("right")
def test_what_is_watched_is_watched_as_long_as_was_written(*, moving, here, clock, jump):
    app = moving.app(f"watched{jump}")
    app.ship_good()
    with load_on(app.service, rps=20) as load:
        begun = app.begin(spec=WATCHED)
        operation_id = begun.accepted.operation_id
        await_row(here, operation_id, lambda row: (row["current_step"] or "").startswith("Watching"))
        began = time.monotonic()
        set_clock(moving, clock, jump)
        row = await_row(here, operation_id, lambda row: row["completed_at"] is not None)
        watched_s = time.monotonic() - began
        summary = load.stop()
    assert row["status"] == "completed", row
    assert watched_s > WATCHED_S - 2
    assert summary["failures"] == 0, summary["examples"]
    moving.log_in()
    assert app.service.version() == begun.version


@JUMPS
@pytest.mark.usefixtures("right")
def test_everything_goes_on_before_and_after_the_clock_is_right_again(*, moving, here, clock, jump):
    """Whoever logs in anew works, deployments go through, nothing is held; old versions end when they are due."""
    app = moving.app(f"goes-on{jump}")
    app.ship_good()
    set_clock(moving, clock, jump)
    moving.log_in()
    wrong = app.ship_good()
    assert settled(here, app.project["id"]) == []
    assert app.service.version() == wrong.version
    set_clock(moving, clock, 0)
    moving.log_in()
    right = app.ship_good()
    assert settled(here, app.project["id"]) == []
    assert app.service.version() == right.version
    assert moving.api.raw("GET", "/health").json()["status"] == "healthy"
