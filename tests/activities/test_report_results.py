"""Results of a build's tests, on the real database: attached to test cases, told once, also when tests failed."""

import uuid
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import select
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities import test_reports
from activities.build_records import BuildRecordActivities
from activities.build_slots import BuildSlots
from activities.builds import BuildActivities
from activities.test_reports import TestReports
from activities.workspaces import BuildFolders
from contracts.builds import RecordBuildFailure, RunTests, TestOutcome
from domain.delivery_spec import TestSpec
from drivers.builders.process import ProcessBuilder
from runtime.ids import new_id
from runtime.limited import LimitedProcesses
from storage.engine import Sessions, transaction
from storage.models import (
    Build,
    Deployment,
    Environment,
    Event,
    Feature,
    Operation,
    Organization,
    Project,
    Requirement,
    TestCase,
    TestResult,
)

GOOD = "<testcase classname='a' name='adds up' time='0.5'/><testcase name='nobody'/>"
BAD = "<testcase classname='a' name='subtracts'><failure message='2 is not 3'/></testcase>"
COVERAGE = "<coverage line-rate='0.5' lines-covered='{}' lines-valid='200'/>"


@pytest.fixture(scope="module")
def limited():
    return LimitedProcesses(("domain.delivery_spec_loader", "activities.reports"))


class Place:
    """A delivery whose source is fetched: its build runs, and its feature has test cases."""

    def __init__(self, sessions: Sessions, folders: BuildFolders, limited: LimitedProcesses) -> None:
        self.sessions = sessions
        self.folders = folders
        self.reports = TestReports(folders, limited, sessions)
        self.activities = BuildActivities(lambda _: ProcessBuilder(), folders, BuildSlots(1), self.reports)
        self.ids = {name: new_id() for name in ("org", "project", "feature", "operation", "deployment", "build")}
        self.cases: dict[str, UUID] = {}

    @property
    def tree(self) -> Path:
        return self.folders.tree(self.ids["operation"])

    async def make(self, *names: str, status: str = "running") -> None:
        self.folders.make(self.ids["operation"], str(self.ids["org"]))
        self.folders.log(self.ids["operation"], "test").parent.mkdir(parents=True)
        ids, requirement, environment = self.ids, new_id(), new_id()
        shared = {"organization_id": ids["org"], "project_id": ids["project"]}
        self.cases = {name: new_id() for name in names}
        host = f"{environment}.localhost"
        rows = [
            Organization(id=ids["org"], name="Acme", slug=str(ids["org"]), host_label=str(ids["org"])),
            Project(
                id=ids["project"], organization_id=ids["org"], name="S", slug="s", host_label="s", repository_url="x"
            ),
            Requirement(id=requirement, **shared, title="t", description="d", created_by="me"),
            Feature(id=ids["feature"], **shared, requirement_id=requirement, name="f", description="d"),
            Environment(id=environment, **shared, name="dev", host=host),
            Operation(
                id=ids["operation"],
                **shared,
                kind="build_and_deploy",
                resource_id=ids["deployment"],
                requested_by="ann",
                status="in_progress",
            ),
            Build(
                id=ids["build"],
                **shared,
                feature_id=ids["feature"],
                operation_id=ids["operation"],
                provenance="executed",
                build_number=1,
                version_tag="1.0.0",
                git_commit_hash="0" * 40,
                git_branch="main",
                status=status,
            ),
            Deployment(
                id=ids["deployment"],
                **shared,
                environment_id=environment,
                operation_id=ids["operation"],
                environment="dev",
                deployment_strategy="rolling",
                status="pending",
                requested_by="ann",
            ),
            *(
                TestCase(
                    id=case_id,
                    **shared,
                    feature_id=ids["feature"],
                    name=name,
                    description="d",
                    steps=[],
                    expected_result="e",
                    created_by="me",
                )
                for name, case_id in self.cases.items()
            ),
        ]
        async with transaction(self.sessions) as session:
            for row in rows:
                session.add(row)
                await session.flush()

    async def test(self, command: str, **fields: object) -> TestOutcome:
        spec = TestSpec(command=command, **{"report": "junit.xml", **fields})
        request = RunTests(operation_id=self.ids["operation"], source_path=".", spec=spec)
        outcome: TestOutcome = await ActivityEnvironment().run(self.activities.test, request)
        return outcome

    async def refused(self, command: str, **fields: object) -> ApplicationError:
        with pytest.raises(ApplicationError) as caught:
            await self.test(command, **fields)
        return caught.value

    def write(self, body: str, name: str = "junit.xml") -> str:
        """A file for `cp`: what the test command writes is a result of this run."""
        path = self.tree / f".made-{uuid.uuid4().hex}"
        path.write_text(body if body.startswith("<coverage") else f"<testsuite>{body}</testsuite>")
        return f"cp {path.name} {name}"

    async def results(self) -> dict[str, TestResult]:
        names = {case_id: name for name, case_id in self.cases.items()}
        async with transaction(self.sessions) as session:
            rows = await session.scalars(select(TestResult).where(TestResult.test_case_id.in_(names)))
            return {names[row.test_case_id]: row for row in rows}

    async def events(self, kind: str = "test.completed") -> list[Event]:
        statement = select(Event).where(Event.project_id == self.ids["project"], Event.type == kind)
        async with transaction(self.sessions) as session:
            return list(await session.scalars(statement.order_by(Event.id)))

    async def build(self) -> Build:
        async with transaction(self.sessions) as session:
            return await session.get_one(Build, self.ids["build"])


@pytest.fixture
async def place(sessions, tmp_path, limited):
    return Place(sessions, BuildFolders(tmp_path), limited)


async def test_results_are_those_of_the_features_test_cases_once(place):
    await place.make("Adds up", "subtracts", "of nobody")
    command = place.write(GOOD)
    outcome = await place.test(command)
    assert (outcome.passed, outcome.failed) == (2, 0)
    assert outcome.detail == "results of 1 test case of the feature"
    await place.test(command)  # an activity that is tried again
    [(name, row)] = (await place.results()).items()
    assert name == "Adds up"
    assert (row.status, row.duration_ms, row.error_message, row.build_id) == ("passed", 500, None, place.ids["build"])
    assert (row.assertions_run, row.assertions_passed, row.assertions_failed, row.recorded_by) == (1, 1, 0, "ann")
    [event] = await place.events()
    told = event.payload["test_result"]
    assert (told["id"], told["test_case_id"], told["build_id"]) == (
        str(row.id),
        str(row.test_case_id),
        str(row.build_id),
    )
    assert (told["status"], event.resource_id) == ("passed", row.id)


async def test_that_not_all_test_cases_were_looked_for_is_told(place, monkeypatch):
    monkeypatch.setattr(test_reports, "MAX_CASES", 1)
    await place.make("adds up", "nobody")
    outcome = await place.test(place.write(GOOD))
    assert list(await place.results()) == ["adds up"]
    assert outcome.detail.endswith("the feature has more than 1 test cases: only the oldest 1 were looked for")


async def test_what_a_second_run_finds_is_what_counts_and_is_told(place):
    await place.make("adds up")
    await place.test(place.write(GOOD))
    await place.refused(place.write(GOOD.replace("time='0.5'/>", "><error message='gone'/></testcase>")))
    await place.refused(place.write(GOOD.replace("time='0.5'/>", "><error message='other words'/></testcase>")))
    row = (await place.results())["adds up"]
    assert (row.status, row.error_message, row.assertions_failed) == ("error", "other words", 1)
    assert [event.payload["test_result"]["status"] for event in await place.events()] == ["passed", "error"]


async def test_failed_tests_are_seen_on_test_cases_and_on_the_failed_build(place):
    await place.make("adds up", "subtracts")
    error = await place.refused(
        f"{place.write(GOOD + BAD)}; {place.write(COVERAGE.format(100), 'c.xml')}; exit 1", coverage="c.xml"
    )
    assert error.type == "TESTS_FAILED"
    assert error.message == "1 of 3 tests failed; the first: a.subtracts: 2 is not 3"
    results = await place.results()
    assert {name: row.status for name, row in results.items()} == {"adds up": "passed", "subtracts": "failed"}
    assert results["subtracts"].error_message == "2 is not 3"
    ids = place.ids
    await ActivityEnvironment().run(
        BuildRecordActivities(place.sessions).record_failure,
        RecordBuildFailure(
            operation_id=ids["operation"],
            organization_id=ids["org"],
            project_id=ids["project"],
            feature_id=ids["feature"],
            deployment_id=ids["deployment"],
            version_tag="1.0.0",
            commit="0" * 40,
            branch="main",
            message="x",
        ),
    )
    build = await place.build()
    assert (build.status, build.tests_passed, build.tests_failed, build.tests_skipped) == ("failed", 2, 1, 0)
    assert build.code_coverage_percent == 50
    told = [event.payload["test_result"] for event in await place.events()]
    assert len(told) == 3  # two test cases, and all tests of the build
    [whole] = [each for each in told if each["test_case_id"] is None]
    assert (whole["build_id"], whole["status"]) == (str(build.id), "failed")
    assert (whole["assertions_passed"], whole["assertions_failed"]) == (2, 1)


async def test_results_of_another_feature_or_a_build_that_is_over_are_not_written(place, sessions, tmp_path, limited):
    other = Place(sessions, BuildFolders(tmp_path / "other"), limited)
    await other.make("adds up")
    await place.make("adds up", status="cancelled")
    await place.test(place.write(GOOD))
    assert await other.results() == {} == await place.results()
    assert (await place.build()).tests_passed is None


async def test_a_test_case_that_is_deleted_meanwhile_is_left_out(place):
    await place.make("adds up", "subtracts")
    tests, coverage = await place.reports.read(
        RunTests(
            operation_id=place.ids["operation"],
            source_path=".",
            spec=TestSpec(command="true", report=await ready(place)),
        )
    )
    async with transaction(place.sessions) as session:
        await session.delete(await session.get_one(TestCase, place.cases["subtracts"]))
    assert await place.reports.record(place.ids["operation"], tests, coverage) == 1
    assert set(await place.results()) == {"adds up"}


async def ready(place: Place) -> str:
    (place.tree / "junit.xml").write_text(f"<testsuite>{GOOD}{BAD}</testsuite>")
    return "junit.xml"


async def test_coverage_below_the_threshold_stops_and_names_both_numbers(place):
    await place.make("adds up")
    command = f"{place.write(GOOD)}; {place.write(COVERAGE.format(99), 'c.xml')}"
    error = await place.refused(command.replace("0.5", "0.495"), coverage="c.xml", min_coverage=50)
    assert (error.type, error.non_retryable) == ("COVERAGE_TOO_LOW", True)
    assert "49.5 % of the lines, less than min_coverage 50" in error.message
    assert (await place.results())["adds up"].status == "passed"
    outcome = await place.test(command, coverage="c.xml", min_coverage=49.5)
    assert outcome.coverage_percent == 49.5


@pytest.mark.parametrize("fields", [{"coverage": "c.xml", "min_coverage": 0}, {"report": "no.xml", "max_failures": 3}])
async def test_a_threshold_without_its_report_is_no_pass(place, fields):
    await place.make()
    error = await place.refused(place.write(GOOD), **fields)
    assert error.type == "TEST_REPORT_INVALID"
    assert ("c.xml" if "coverage" in fields else "no.xml") in error.message


async def test_failures_that_are_allowed_explain_the_exit_code_and_others_do_not(place):
    await place.make("subtracts")
    outcome = await place.test(f"{place.write(GOOD + BAD)}; exit 1", max_failures=1)
    assert (outcome.passed, outcome.failed) == (2, 1)
    assert (await place.results())["subtracts"].status == "failed"
    for command, words in [
        (f"{place.write(GOOD + BAD + BAD)}; exit 1", "2 of 4 tests failed, more than max_failures 1; the first: "),
        (f"{place.write(GOOD)}; exit 1", "exit code 1; failed tests do not explain it: the report tells of 0"),
        ("rm junit.xml; exit 1", "exit code 1; no report explains it: junit.xml was not written"),
        (f"{place.write(GOOD + BAD)}; kill -9 $$", "exit code 137"),
        ("echo '<testsuite>' > junit.xml; exit 3", "exit code 3; besides, junit.xml: the JUnit report is not XML"),
    ]:
        error = await place.refused(command, max_failures=1)
        assert (error.type, words in error.message) == ("TESTS_FAILED", True), error.message


async def test_a_report_that_came_with_the_commit_is_no_result_until_it_is_written_again(place):
    await place.make("adds up")
    await ready(place)
    spec = TestSpec(command="x", report="*.xml")
    await place.reports.mark(place.ids["operation"], ".", spec)
    outcome = await place.test("chmod 600 junit.xml", report="*.xml")
    assert (outcome.passed, await place.results()) == (None, {})
    assert "not written: *.xml" in outcome.detail
    assert "no command wrote them again: junit.xml" in outcome.detail
    error = await place.refused("true", report="*.xml", max_failures=0)
    assert error.type == "TEST_REPORT_INVALID"
    written = await place.test(place.write(GOOD), report="*.xml")
    assert written.passed == 2


@pytest.mark.deep
@pytest.mark.timeout(400)
async def test_a_report_of_a_million_tests_is_read_within_its_limits_and_writes_few_rows(place):
    await place.make("t7", "same", "of nobody")
    body = "".join(f"<testcase name='t{number}'/>" for number in range(500_000))
    same = "<testcase name='same'/>" * 500_000
    (place.tree / "junit.xml").write_text(f"<testsuite>{body}{same}</testsuite>")
    outcome = await place.test("true")
    assert outcome.passed == 1_000_000
    results = await place.results()
    assert {name: row.assertions_passed for name, row in results.items()} == {"t7": 1, "same": 500_000}
    assert len(await place.events()) == 2
