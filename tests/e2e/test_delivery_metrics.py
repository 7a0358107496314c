"""What a real delivery leaves behind for the metrics: the commit's own time, when it went live, whom it waited for."""

import subprocess
from datetime import UTC, datetime
from urllib.parse import unquote

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

TIMES = """
SELECT b.committed_at, b.git_commit_hash, d.live_at, o.created_at, o.completed_at
FROM deployments d JOIN builds b ON b.id = d.build_id JOIN operations o ON o.id = d.operation_id WHERE d.id = %s
"""


def test_what_went_live_is_measured_from_its_commit_on(platform, records):
    app = platform.app("measured")
    shipped = app.ship_good()
    row = records.one(TIMES, shipped.deployment["id"])
    url = unquote(app.project["repository_url"].removeprefix("file://"))
    shown = subprocess.run(
        ["git", "-C", url, "show", "--no-patch", "--format=%ct", row["git_commit_hash"]],
        check=True,
        capture_output=True,
        text=True,
    )
    assert row["committed_at"] == datetime.fromtimestamp(int(shown.stdout), UTC)
    assert row["created_at"] < row["live_at"] <= row["completed_at"]
    found = app.api.call("GET", f"/projects/{app.project['id']}/environments/dev/delivery-metrics")
    assert found["deployment_frequency"]["deployments"] == 1
    assert found["change_failure_rate"]["percent"] == 0
    assert found["time_to_restore"]["median_seconds"] is None
    lead = (row["live_at"] - row["committed_at"]).total_seconds()
    assert found["lead_time"]["median_seconds"] == pytest.approx(lead, abs=0.002)
    total = (row["live_at"] - row["created_at"]).total_seconds()
    waiting = found["waiting"]
    assert waiting["total"]["median_seconds"] == pytest.approx(total, abs=0.002)
    assert waiting["people"] == {"measured": 1, "mean_seconds": 0, "median_seconds": 0, "p90_seconds": 0}
    assert 0 < waiting["machine"]["median_seconds"] <= total
