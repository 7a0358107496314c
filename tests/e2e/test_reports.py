"""Reports of tests on the real stack: results of test cases through the API and as webhooks, thresholds."""

import asyncio
from typing import Any

import pytest

from tests.support.platform import App, Platform
from tests.support.receiver import Receiver
from tests.support.services import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

# Written as pytest does; the numbers are what the test is about.
MAKE_REPORTS = """\
import sys
from pathlib import Path
case = '<testcase classname="tests.test_cart" name="test_total" time="0.25"/>'
bad = '<testcase classname="tests.test_cart" name="test_discount"><failure message="9 is not 10">E</failure></testcase>'
Path("out").mkdir(exist_ok=True)
Path("out/junit.xml").write_text(f'<testsuites><testsuite name="pytest">{case}{bad}</testsuite></testsuites>')
Path("out/lcov.info").write_text("SF:cart.py\\nDA:1,1\\nDA:2,0\\nDA:3,1\\nLF:3\\nLH:2\\nend_of_record\\n")
sys.exit(1)
"""
TESTS = {"command": "python3 make_reports.py", "report": "out", "coverage": ["out/*.info"]}


def made(app: App, name: str) -> str:
    """A test case of the application's feature."""
    body = {
        "name": name,
        "description": "d",
        "steps": [{"step_number": 1, "action": "a", "expected_result": "e"}],
        "expected_result": "e",
    }
    case_id: str = app.api.call("POST", f"/features/{app.feature['id']}/tests", body)["id"]
    return case_id


def results_of(app: App, case_id: str) -> list[dict[str, Any]]:
    found: Any = app.api.call("GET", f"/testcases/{case_id}/results")
    return list(found)


async def test_results_of_test_cases_are_seen_and_told_and_thresholds_stop(platform: Platform) -> None:
    async with Receiver() as receiver:
        app = await asyncio.to_thread(platform.app, "reported-tests")
        total, discount, other = [
            await asyncio.to_thread(made, app, name) for name in ("Test_Total", "test_cart.test_discount", "elsewhere")
        ]
        hook = {"url": receiver.url(), "events": ["test.completed"], "project_id": app.project["id"]}
        await asyncio.to_thread(
            platform.api.call, "POST", f"/organizations/{platform.organization['id']}/webhooks", hook
        )
        files = {"make_reports.py": MAKE_REPORTS}

        failed = await asyncio.to_thread(app.ship, files=files, spec={"test": TESTS})
        assert failed.error["code"] == "TESTS_FAILED"
        assert "1 of 2 tests failed; the first: tests.test_cart.test_discount: 9 is not 10" in failed.error["message"]
        build = app.api.build(failed.deployment["build_id"])
        assert (build["status"], build["tests_passed"], build["tests_failed"]) == ("failed", 1, 1)
        assert build["code_coverage_percent"] == 66.67

        low = await asyncio.to_thread(app.ship, spec={"test": {**TESTS, "max_failures": 1, "min_coverage": 66.67}})
        assert low.error["code"] == "COVERAGE_TOO_LOW"
        assert "66.66 % of the lines, less than min_coverage 66.67" in low.error["message"]

        good = await asyncio.to_thread(app.ship_good, spec={"test": {**TESTS, "max_failures": 1, "min_coverage": 66.6}})
        step = next(step for step in good.operation["steps"] if step["name"] == "test")
        assert step["detail"] == "results of 2 test cases of the feature"

        builds = [shipped.deployment["build_id"] for shipped in (good, low, failed)]
        passed, wrong = results_of(app, total), results_of(app, discount)
        assert [(one["build_id"], one["status"], one["duration_ms"]) for one in passed] == [
            (build_id, "passed", 250) for build_id in builds
        ]
        assert [(one["build_id"], one["status"], one["error_message"]) for one in wrong] == [
            (build_id, "failed", "9 is not 10") for build_id in builds
        ]
        assert results_of(app, other) == []

        def told() -> dict[str, dict[str, Any]]:
            events = [one.content["data"]["test_result"] for one in receiver.received if one.content["data"]]
            return {one["id"]: one for one in events}

        wanted = {one["id"] for one in (*passed, *wrong)} | set(builds)
        await asyncio.to_thread(until, lambda: wanted <= told().keys(), "all results as webhooks", 180)
        assert told().keys() == wanted
        event = told()[passed[0]["id"]]
        assert {name: value for name, value in passed[0].items() if event[name] != value} == {}
