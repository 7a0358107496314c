"""What scans find, on the real stack: it stops a delivery, is told once, suppressed, and found in what is live."""

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.client import Client

from contracts.names import RESCAN_WORKFLOW
from tests.support.services import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

STRICT = {"scan": {"max_critical": 0, "max_high": 0, "max_medium": 0, "max_low": 0}}
BY_THEN = (datetime.now(UTC) + timedelta(days=30)).isoformat()
RESCAN_SECONDS = 240


def listed(app, path: str) -> list[dict]:
    response = app.api.raw("GET", f"/v1{path}")
    assert response.status_code == 200, response.text
    return response.json()["data"]


def told(app, webhook: dict) -> list[dict]:
    """Deliveries of events about vulnerabilities of any project."""
    path = f"/organizations/{app.project['organization_id']}/webhooks/{webhook['id']}/deliveries?page_size=100"
    return [row for row in listed(app, path) if row["event"] == "vulnerability.detected"]


def test_a_finding_stops_a_delivery_is_told_once_and_no_more_when_it_is_suppressed(platform):
    app = platform.app("weak")
    org = app.project["organization_id"]
    body = {"url": "https://hooks.example.com/weak", "events": ["vulnerability.detected"]}
    webhook = app.api.call("POST", f"/organizations/{org}/webhooks", {**body, "project_id": app.project["id"]})

    stopped = app.ship(files={"requirements.txt": "requests==2.19.0\n"}, spec=STRICT)
    assert stopped.error["code"] == "SCAN_POLICY_VIOLATED", stopped.operation
    assert "in requests 2.19.0 (fixed in 2.20.0)" in stopped.error["message"]
    assert "PATCH /vulnerabilities" in stopped.error["message"]
    build = app.api.build(stopped.deployment["build_id"])
    assert (build["status"], build["security_scan_status"]) == ("failed", "failed")
    assert sum(build[f"vulnerabilities_{level}"] for level in ("critical", "high", "medium", "low")) >= 1
    found = listed(app, f"/builds/{build['id']}/vulnerabilities")
    assert {row["package"] for row in found} == {"requests"}
    log = app.api.raw("GET", f"/v1/builds/{build['id']}/logs", params={"step": "scan"}).text
    assert found[0]["rule"] in log
    sarif = app.api.raw("GET", f"/v1/builds/{build['id']}/sarif").json()
    assert {result["ruleId"] for run in sarif["runs"] for result in run["results"]} == {row["rule"] for row in found}

    again = app.ship(spec=STRICT)
    assert again.error["code"] == "SCAN_POLICY_VIOLATED"
    until(lambda: len(told(app, webhook)) == len(found), "an event for each finding")

    for row in found:
        order = {"reason": "not_affected", "expires_at": BY_THEN}
        app.api.call("PATCH", f"/vulnerabilities/{row['id']}", {"status": "suppressed", "suppression": order})
    shipped = app.ship_good(spec=STRICT)
    [scan] = [step for step in shipped.operation["steps"] if step["name"] == "scan"]
    assert scan["status"] == "completed"
    assert f"{len(found)} suppressed" in scan["detail"]
    assert app.api.build(shipped.deployment["build_id"])["security_scan_status"] == "passed"
    assert len(told(app, webhook)) == len(found)
    [live] = listed(app, f"/vulnerabilities/{found[0]['id']}")["affected_releases"]
    assert (live["environment"], live["build_id"]) == ("dev", shipped.deployment["build_id"])


@pytest.mark.deep
def test_a_re_scan_finds_what_became_known_of_what_is_live(platform, advisories):
    app = platform.app("quiet")
    shipped = app.ship_good(files={"requirements.txt": "itsdangerous==2.0.0\n"})
    path = f"/projects/{app.project['id']}/vulnerabilities?environment=dev"
    assert listed(app, path) == []
    advisory = json.loads((advisories / "PyPI" / "GHSA-x84v-xcm2-53pg.json").read_text())
    advisory |= {"id": "GHSA-aaaa-bbbb-cccc", "aliases": [], "modified": f"{datetime.now(UTC):%FT%TZ}"}
    advisory["affected"][0]["package"] = {"ecosystem": "PyPI", "name": "itsdangerous"}
    (advisories / "PyPI" / "GHSA-aaaa-bbbb-cccc.json").write_text(json.dumps(advisory))

    asyncio.run(rescanned_until(platform, lambda: listed(app, path)))
    [row] = listed(app, path)
    assert (row["rule"], row["package"], row["package_version"]) == ("GHSA-aaaa-bbbb-cccc", "itsdangerous", "2.0.0")
    [live] = row["affected_releases"]
    assert (live["version_tag"], live["deployment_id"]) == (shipped.version, shipped.deployment["id"])
    assert app.api.build(shipped.deployment["build_id"])["vulnerabilities_high"] == 1


async def rescanned_until(platform, condition) -> None:
    """Start re-scans by the schedule that the engine made; an index of the mirror may be some seconds old."""
    client = await Client.connect(platform.stack.addresses["temporal"])
    deadline = time.monotonic() + RESCAN_SECONDS
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < deadline, "no re-scan found it"
        await client.get_schedule_handle(RESCAN_WORKFLOW).trigger()
        await asyncio.sleep(2)
