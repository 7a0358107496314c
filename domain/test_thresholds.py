"""Whether a delivery goes on after its tests: `max_failures`, `min_coverage`, and what the command itself says.

A threshold that nothing tells about is not kept: without a report there is no pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from domain.coverage_reports import Coverage
from domain.delivery_spec import TestSpec
from domain.errors import ErrorCode
from domain.junit_reports import TestSummary

# The shell's own: not to be run, not found, ended by a signal. No test has failed with them.
_FIRST_OF_SHELL = 126


@dataclass(frozen=True)
class Stop:
    """Why a delivery goes no further. `command`: that the command failed is told first, in the words of its run."""

    code: ErrorCode
    message: str
    command: bool = False


@dataclass(frozen=True)
class TestRun:
    """How the test command ended, and what its reports say.

    Attributes:
        exit_code: of the command.
        tests, coverage: None: there is no report, or none that can be read.
        missing_tests, missing_coverage: what was named and is not there.
        test_faults, coverage_faults: why reports cannot be read.
    """

    __test__ = False

    exit_code: int
    tests: TestSummary | None = None
    coverage: Coverage | None = None
    missing_tests: Sequence[str] = ()
    missing_coverage: Sequence[str] = ()
    test_faults: Sequence[str] = ()
    coverage_faults: Sequence[str] = ()

    @property
    def failed(self) -> int:
        return self.tests.failed + self.tests.errors if self.tests else 0

    @property
    def is_told_whole(self) -> bool:
        """Whether the reports tell of all tests."""
        return self.tests is not None and not self.test_faults and not self.missing_tests


def stop_after_tests(spec: TestSpec, run: TestRun) -> Stop | None:
    """What stops the delivery; None: it goes on."""
    return _failures(spec, run) or _command(spec, run) or _reports(spec, run) or _coverage(spec, run)


@dataclass(frozen=True)
class Reported:
    """What was told of a build that was made elsewhere; None: not told."""

    passed: int | None = None
    failed: int | None = None
    coverage_percent: float | None = None


def stop_of_reported(spec: TestSpec, told: Reported) -> Stop | None:
    """What stops the delivery of a build that was made elsewhere, whose tests are not run here; None: it goes on."""
    return _reported_failures(spec, told) or _reported_coverage(spec, told)


def _reported_failures(spec: TestSpec, told: Reported) -> Stop | None:
    most = spec.max_failures
    if most is None:
        return None
    if told.failed is None or told.passed is None:
        return _untold(f"max_failures is {most}", "tests_passed and tests_failed")
    if told.failed > most:
        total = told.failed + told.passed
        return Stop(
            ErrorCode.TESTS_FAILED,
            f"{told.failed} of {total} tests failed where the build was made, more than max_failures {most}",
        )
    if told.failed + told.passed == 0:
        return Stop(
            ErrorCode.TEST_REPORT_INVALID,
            f"max_failures is {most}, and the build was reported with no test; "
            "run its tests where it is made and report the build again under a new version_tag",
        )
    return None


def _reported_coverage(spec: TestSpec, told: Reported) -> Stop | None:
    if spec.min_coverage is None:
        return None
    wanted = f"{spec.min_coverage:.10g}"
    if told.coverage_percent is None:
        return _untold(f"min_coverage is {wanted}", "code_coverage_percent")
    if told.coverage_percent >= spec.min_coverage:
        return None
    return Stop(
        ErrorCode.COVERAGE_TOO_LOW,
        f"tests cover {told.coverage_percent:.10g} % of the lines, as was reported of the build, less than "
        f"min_coverage {wanted}; test more of them, or lower the limit in delivery.yaml",
    )


def _untold(limit: str, fields: str) -> Stop:
    return Stop(
        ErrorCode.TEST_REPORT_INVALID,
        f"{limit} in delivery.yaml, and the build was reported without {fields}; its tests are not run here: "
        f"report the build again under a new version_tag, with {fields}",
    )


def _failures(spec: TestSpec, run: TestRun) -> Stop | None:
    if run.tests is None or run.failed <= (spec.max_failures or 0):
        return None
    limit = f", more than max_failures {spec.max_failures}" if spec.max_failures is not None else ""
    first = f"the first: {run.tests.first_failure}" if run.tests.first_failure else "the report does not name them"
    return Stop(ErrorCode.TESTS_FAILED, f"{run.failed} of {run.tests.total} tests failed{limit}; {first}")


def _command(spec: TestSpec, run: TestRun) -> Stop | None:
    """A command that failed stops it, unless failed tests that are allowed explain that."""
    explained = run.is_told_whole and run.failed > 0 and 0 < run.exit_code < _FIRST_OF_SHELL
    if run.exit_code == 0 or (spec.max_failures and explained):
        return None
    why = ""
    if run.test_faults:
        why = f"; besides, {run.test_faults[0]}"
    elif spec.max_failures is not None:
        why = f"; {_unexplained(run)}"
    return Stop(ErrorCode.TESTS_FAILED, why, command=True)


def _unexplained(run: TestRun) -> str:
    if run.missing_tests or run.tests is None:
        return f"no report explains it: {_named(run.missing_tests) or 'none'} was not written"
    return f"failed tests do not explain it: the report tells of {run.failed}"


def _reports(spec: TestSpec, run: TestRun) -> Stop | None:
    if run.test_faults:
        return _invalid(run.test_faults[0])
    if spec.max_failures is None:
        return None
    if run.missing_tests or run.tests is None:
        return _invalid(f"max_failures is {spec.max_failures}, and {_absent(run.missing_tests, 'test report')}")
    if run.tests.total == 0:
        return _invalid(f"max_failures is {spec.max_failures}, and the test report tells of no test")
    return None


def _coverage(spec: TestSpec, run: TestRun) -> Stop | None:
    if run.coverage_faults:
        return _invalid(run.coverage_faults[0])
    if spec.min_coverage is None:
        return None
    wanted = f"{spec.min_coverage:.10g}"
    if run.missing_coverage or run.coverage is None:
        return _invalid(f"min_coverage is {wanted}, and {_absent(run.missing_coverage, 'coverage report')}")
    if run.coverage.measures_nothing:
        return _invalid(f"min_coverage is {wanted}, and the coverage report tells of no line")
    if run.coverage.reaches(spec.min_coverage):
        return None
    return Stop(
        ErrorCode.COVERAGE_TOO_LOW,
        f"tests cover {run.coverage.shown()} % of the lines, less than min_coverage {wanted}; test more of them, or "
        "lower the limit in delivery.yaml",
    )


def _absent(missing: Sequence[str], what: str) -> str:
    return f"the test command wrote no {what}{f' at {named}' if (named := _named(missing)) else ''}"


def _named(missing: Sequence[str]) -> str:
    return ", ".join(name[:200] for name in missing[:3])


def _invalid(message: str) -> Stop:
    advice = "" if "delivery.yaml" in message else "; look at `test` in delivery.yaml"
    return Stop(ErrorCode.TEST_REPORT_INVALID, f"{message}{advice}")
