"""`max_failures`, `min_coverage` and the command's own word: no pass that nothing tells about."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.coverage_reports import Coverage
from domain.delivery_spec import TestSpec
from domain.errors import ErrorCode
from domain.junit_reports import TestSummary
from domain.test_thresholds import Reported, TestRun, stop_after_tests, stop_of_reported

SMALL = st.integers(min_value=0, max_value=5)


@st.composite
def summaries(draw):
    passed, failed, errors, skipped = (draw(SMALL) for _ in range(4))
    bad = failed + errors
    return TestSummary(
        total=passed + bad + skipped,
        passed=passed,
        failed=failed,
        errors=errors,
        skipped=skipped,
        duration_ms=1,
        first_failure="t: no" if bad and draw(st.booleans()) else None,
    )


@st.composite
def coverages(draw):
    covered, missed = draw(SMALL), draw(SMALL)
    return Coverage(covered=covered, valid=covered + missed)


FEW = st.lists(st.sampled_from(["a.xml", "b/*.xml"]), max_size=2)
RUNS = st.builds(
    TestRun,
    exit_code=st.sampled_from([0, 0, 1, 2, 126, 127, 137, 255]),
    tests=st.none() | summaries(),
    coverage=st.none() | coverages(),
    missing_tests=FEW,
    missing_coverage=FEW,
    test_faults=FEW,
    coverage_faults=FEW,
)
SPECS = st.builds(
    TestSpec,
    command=st.just("x"),
    max_failures=st.none() | SMALL,
    min_coverage=st.none() | st.sampled_from([0, 50, 79.9, 100]),
)


@given(SPECS, RUNS)
def test_a_delivery_goes_on_only_when_everything_asked_for_is_told_and_kept(spec, run):
    stop = stop_after_tests(spec, run)
    if stop is not None:
        assert stop.message or stop.command
        return
    assert run.failed <= (spec.max_failures or 0)
    assert not run.test_faults
    assert not run.coverage_faults
    if run.exit_code:
        assert spec.max_failures
        assert run.failed > 0
        assert run.exit_code < 126
    if spec.max_failures is not None:
        assert run.tests is not None
        assert run.tests.total > 0
        assert not run.missing_tests
    if spec.min_coverage is not None:
        assert run.coverage is not None
        assert not run.missing_coverage
        assert run.coverage.covered * 100 >= spec.min_coverage * run.coverage.valid
        assert run.coverage.valid > 0


@given(SPECS, RUNS)
def test_a_higher_threshold_never_lets_more_through(spec, run):
    if stop_after_tests(spec, run) is None:
        for looser in (
            spec.model_copy(update={"min_coverage": None}),
            spec.model_copy(update={"max_failures": None if spec.max_failures is None else spec.max_failures + 1}),
            spec.model_copy(update={"min_coverage": None if spec.min_coverage is None else spec.min_coverage / 2}),
        ):
            assert stop_after_tests(looser, run) is None


@given(RUNS)
def test_without_thresholds_a_failed_test_and_a_failed_command_stop_it(run):
    stop = stop_after_tests(TestSpec(command="x"), run)
    wanted = bool(run.failed or run.exit_code or run.test_faults or run.coverage_faults)
    assert (stop is not None) == wanted


GOOD = TestSummary(total=3, passed=2, failed=1, errors=0, skipped=0, duration_ms=1, first_failure="t.a: no")


@pytest.mark.parametrize(
    ("spec", "run", "code", "message"),
    [
        (
            {"min_coverage": 80},
            {"coverage": Coverage(covered=159, valid=199)},
            ErrorCode.COVERAGE_TOO_LOW,
            (
                "tests cover 79.89 % of the lines, less than min_coverage 80; test more of them, or lower the limit in "
                "delivery.yaml"
            ),
        ),
        (
            {"min_coverage": 80.5},
            {"missing_coverage": ("cov.xml",)},
            ErrorCode.TEST_REPORT_INVALID,
            (
                "min_coverage is 80.5, and the test command wrote no coverage report at cov.xml; look at `test` in "
                "delivery.yaml"
            ),
        ),
        (
            {"min_coverage": 0},
            {"coverage": Coverage()},
            ErrorCode.TEST_REPORT_INVALID,
            "min_coverage is 0, and the coverage report tells of no line; look at `test` in delivery.yaml",
        ),
        (
            {"max_failures": 0},
            {"tests": GOOD},
            ErrorCode.TESTS_FAILED,
            "1 of 3 tests failed, more than max_failures 0; the first: t.a: no",
        ),
        (
            {"max_failures": 2},
            {},
            ErrorCode.TEST_REPORT_INVALID,
            "max_failures is 2, and the test command wrote no test report; look at `test` in delivery.yaml",
        ),
    ],
)
def test_words(spec, run, code, message):
    stop = stop_after_tests(TestSpec(command="x", **spec), TestRun(**{"exit_code": 0, **run}))
    assert stop is not None
    assert (stop.code, stop.message) == (code, message)


@pytest.mark.parametrize(
    ("limits", "told", "code", "words"),
    [
        ({}, Reported(), None, ""),
        ({"min_coverage": 80}, Reported(coverage_percent=80), None, ""),
        ({"min_coverage": 80}, Reported(coverage_percent=79.99), ErrorCode.COVERAGE_TOO_LOW, "79.99 % .* 80"),
        ({"min_coverage": 0}, Reported(1, 0), ErrorCode.TEST_REPORT_INVALID, "without code_coverage_percent"),
        ({"max_failures": 0}, Reported(3, 0), None, ""),
        ({"max_failures": 1}, Reported(3, 2), ErrorCode.TESTS_FAILED, "2 of 5 tests failed .* max_failures 1"),
        ({"max_failures": 0}, Reported(0, 0), ErrorCode.TEST_REPORT_INVALID, "with no test"),
        ({"max_failures": 0}, Reported(3, None), ErrorCode.TEST_REPORT_INVALID, "without tests_passed and"),
        ({"max_failures": 0}, Reported(coverage_percent=99), ErrorCode.TEST_REPORT_INVALID, "new version_tag"),
    ],
)
def test_what_was_reported_of_a_build_made_elsewhere_is_held_to_the_limits(limits, told, code, words):
    """A limit that nothing tells about is not kept, wherever the tests were run."""
    stop = stop_of_reported(TestSpec(**limits), told)
    assert (stop and stop.code) == code
    if stop:
        assert re.search(words, stop.message)
