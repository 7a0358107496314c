"""Each ends in a failed operation with a code and a message a stranger understands, and the old version serves."""

import pytest

from tests.support.facts import facts
from tests.support.platform import UNWELL, App

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

FAILING_TEST = """\
import unittest


class ArithmeticTest(unittest.TestCase):
    def test_two_and_two_is_five(self):
        self.assertEqual(2 + 2, 5)
"""


@pytest.fixture
def live(live):
    """The live application; afterwards the version from before must still serve."""
    before = live.service.version()
    yield live
    assert live.service.version() == before


def test_a_service_that_is_never_healthy_is_undone_with_its_last_answer_and_log(live):
    shipped = live.ship(fault="unhealthy", spec=UNWELL)
    assert shipped.error["code"] == "INSTANCE_UNHEALTHY"
    assert "500" in facts(shipped.error)["last_probe"]
    assert "listening on" in facts(shipped.error)["log_tail"]
    assert shipped.deployment["status"] in ("failed", "rolled_back")


@pytest.mark.deep
def test_a_service_that_is_never_healthy_is_undone_by_rolling_too(live):
    shipped = live.ship(fault="unhealthy", spec=UNWELL, deployment_strategy="rolling")
    assert shipped.error["code"] == "INSTANCE_UNHEALTHY"


@pytest.mark.deep
def test_an_unknown_repository_is_named(platform, live):
    missing = live.repository.folder.parent / "no such repository"
    app = App(platform, "nowhere", live.repository, missing.as_uri())
    accepted = app.api.build_and_deploy(app.feature["id"], "1.0.0")
    operation = app.api.wait(accepted.operation_id, 180)
    assert operation["status"] == "failed"
    assert operation["error"]["code"] == "SOURCE_NOT_FOUND"
    assert app.api.deployment(accepted.deployment_id)["status"] == "failed"


def test_a_missing_branch_is_named(live):
    error = live.ship(git_branch="no-such-branch").error
    assert error["code"] == "SOURCE_REF_NOT_FOUND"
    assert "no-such-branch" in error["message"]


@pytest.mark.deep
def test_a_missing_commit_is_named(live):
    error = live.ship(git_commit_hash="f" * 40).error
    assert error["code"] == "SOURCE_REF_NOT_FOUND"
    assert "f" * 7 in error["message"]


def test_a_broken_spec_names_file_line_and_key(live):
    error = live.ship(files={"delivery.yaml": "version: 1\nservice:\n  comand: python3 app.py\n"}).error
    assert error["code"] == "SPEC_INVALID"
    assert "delivery.yaml" in error["message"]
    assert "3" in error["message"]
    assert "comand" in error["message"]


@pytest.mark.deep
def test_a_number_that_took_a_minute_is_refused_by_line_and_key(live):
    """Base 60 as YAML 1.1 has it, in a file of 240 KiB: it held the worker of all tenants."""
    hostile = "service:\n  command: python3 app.py\nbuild:\n  timeout: " + ":".join(["1"] * 120_000) + "\n"
    error = live.ship(files={"delivery.yaml": hostile}).error
    assert error["code"] == "SPEC_INVALID"
    assert "delivery.yaml:4:3: build.timeout: must be a plain number" in error["message"]


@pytest.mark.deep
def test_advice_about_quotes_shows_what_stands_there(live):
    """`cases/yaml-advice-is-wrong`."""
    env = "    COUNTRY: NO\n    RELEASE: 1.10\n    MODE: 0755\n    AT: 12:30:00\n    BIG: 1_000\n"
    error = live.ship(files={"delivery.yaml": f"service:\n  command: python3 app.py\n  env:\n{env}"}).error
    assert error["code"] == "SPEC_INVALID"
    assert [(fault["key"], fault["message"]) for fault in facts(error)["faults"]] == [
        ("service.env.RELEASE", 'must be text; put 1.10 into quotes: "1.10"'),
        ("service.env.MODE", 'must be text; put 0755 into quotes: "0755"'),
    ]


@pytest.mark.deep
def test_a_report_of_tests_that_is_no_report_is_named(live):
    steps = "python3 -c \"open('r.xml','w').write('<testsuite>' + '<testsuite>' * 100000)\""
    error = live.ship(spec={"test": {"command": steps, "report": "r.xml"}}).error
    assert error["code"] == "TEST_REPORT_INVALID"
    assert "nested deeper than 100" in error["message"]


def test_failing_tests_name_the_first(live):
    spec = {"test": {"command": "python3 run_tests.py reports/junit.xml", "report": "reports/junit.xml"}}
    try:
        error = live.ship(files={"test_arithmetic.py": FAILING_TEST}, spec=spec).error
    finally:
        (live.repository.folder / "test_arithmetic.py").unlink()
    assert error["code"] == "TESTS_FAILED"
    assert "test_two_and_two_is_five" in error["message"]


def test_a_failing_build_shows_its_output(live):
    shipped = live.ship(spec={"build": {"steps": ["echo the compiler says no", "exit 7"]}})
    error, deployment = shipped.error, shipped.deployment
    assert deployment["started_at"] <= deployment["completed_at"]
    assert deployment["duration_seconds"] is not None
    assert deployment["health_check_status"] == "unhealthy"
    build = live.api.build(deployment["build_id"])
    assert build["started_at"] <= build["completed_at"]
    assert build["duration_seconds"] is not None
    assert error["code"] == "BUILD_FAILED"
    assert "7" in error["message"]
    assert "the compiler says no" in facts(error)["log_tail"]


@pytest.mark.deep
def test_a_build_that_hangs_is_ended(live):
    error = live.ship(spec={"build": {"steps": ["sleep 300"], "timeout": 1}}).error
    assert error["code"] == "BUILD_TIMEOUT"


@pytest.mark.deep
def test_a_build_that_calls_what_is_not_there_fails_with_where_was_searched(live):
    error = live.ship(spec={"build": {"steps": ["no-such-compiler"]}}).error
    assert error["code"] == "BUILD_FAILED"
    assert "/usr/bin" in error["message"]


@pytest.mark.deep
def test_a_service_on_another_port_fails_with_a_hint_at_port(live):
    error = live.ship(fault="wrong-port", spec=UNWELL).error
    assert error["code"] == "INSTANCE_WRONG_PORT"
    assert "$PORT" in error["message"]


@pytest.mark.deep
def test_a_service_that_crashes_shows_its_last_words(live):
    error = live.ship(fault="crash").error
    assert error["code"] == "INSTANCE_EXITED"
    assert facts(error)["exit_code"] == 3
    assert "on purpose" in facts(error)["log_tail"]


@pytest.mark.deep
def test_a_service_that_listens_nowhere_is_undone(live):
    error = live.ship(fault="never-listens", spec=UNWELL).error
    assert error["code"] == "INSTANCE_UNHEALTHY"
    assert "listening nowhere" in facts(error)["log_tail"]
