"""JUnit and Cobertura reports in the shapes that their writers give them."""

import tracemalloc

import pytest
from defusedxml.ElementTree import fromstring

from domain.coverage_reports import parse_cobertura
from domain.errors import ErrorCode, TerminalError
from domain.junit_reports import MAX_FAILURE, TestSummary, parse_junit

PYTEST = """<?xml version="1.0" encoding="utf-8"?>
<testsuites name="pytest tests"><testsuite name="pytest" errors="1" failures="1" skipped="1" tests="4" time="0.046"
 timestamp="2026-01-01T00:00:00.000000+00:00" hostname="h">
<testcase classname="test_a" name="test_ok" time="0.001"/>
<testcase classname="test_a" name="test_bad" time="0.002"><failure message="assert 1 == 2">def test_bad():
&gt;   assert 1 == 2</failure></testcase>
<testcase classname="test_a" name="test_skip" time="0.000"><skipped message="why"/></testcase>
<testcase classname="test_a" name="test_err" time="0.001"><error message="failed on setup">x</error></testcase>
</testsuite></testsuites>"""

UNITTEST = """<testsuites>
<testsuite name="A-2026" tests="1" file="a.py" time="0.500" failures="0" errors="0" skipped="0">
<testcase classname="a.A" name="test_x" time="0.500"/><system-out><![CDATA[FAILED not]]></system-out></testsuite>
<testsuite name="B-2026" tests="1" time="0.250" failures="1" errors="0">
<testcase classname="b.B" name="test_y" time="0.250"><failure type="AssertionError">Traceback
AssertionError: no</failure></testcase></testsuite></testsuites>"""

JEST = """<testsuites name="jest tests" tests="2" failures="1" errors="0" time="1.234">
<testsuite name="sum" errors="0" failures="1" skipped="0" tests="2" time="0.9">
<testcase classname="sum adds" name="sum adds" time="0.005"></testcase>
<testcase classname="sum fails" name="sum fails" time="0.003"><failure>Error: expect(received)</failure></testcase>
</testsuite></testsuites>"""

SUREFIRE = """<testsuite xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" name="com.x.AppTest" time="1,234.5"
 tests="2" errors="0" skipped="1" failures="0">
<properties><property name="java.version" value="21"/></properties>
<testcase name="works" classname="com.x.AppTest" time="0.01"><flakyFailure message="once">x</flakyFailure></testcase>
<testcase name="later" classname="com.x.AppTest" time="0"><skipped/></testcase></testsuite>"""

NESTED = """<testsuites xmlns="http://junit.org"><testsuite><testsuite><testcase name="deep"/></testsuite>
<testcase><failure/></testcase></testsuite></testsuites>"""


def summary(total: int, bad: tuple[int, int, int], ms: int, first: str | None) -> TestSummary:
    failed, errors, skipped = bad
    return TestSummary(
        total=total,
        passed=total - failed - errors - skipped,
        failed=failed,
        errors=errors,
        skipped=skipped,
        duration_ms=ms,
        first_failure=first,
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (PYTEST, summary(4, (1, 1, 1), 46, "test_a.test_bad: assert 1 == 2")),
        (UNITTEST, summary(2, (1, 0, 0), 750, "b.B.test_y: Traceback\nAssertionError: no")),
        (JEST, summary(2, (1, 0, 0), 1234, "sum fails: Error: expect(received)")),
        (SUREFIRE, summary(2, (0, 0, 1), 1_234_500, None)),
        (NESTED, summary(2, (1, 0, 0), 0, "unnamed test")),
        ("<testsuites/>", summary(0, (0, 0, 0), 0, None)),
        ('<testsuite tests="3" failures="1" errors="0" disabled="1" time="2"/>', summary(3, (1, 0, 1), 2000, None)),
        ('<testsuite tests="x" time="nan"/>', summary(0, (0, 0, 0), 0, None)),
    ],
    ids=["pytest", "unittest", "jest", "surefire", "nested", "empty", "attributes", "nonsense"],
)
def test_junit_shapes(text, expected):
    assert parse_junit(text) == expected


def test_a_long_failure_is_cut_at_a_character():
    text = f'<testsuite><testcase name="x"><failure message="{"ü" * 2000}"/></testcase></testsuite>'
    first = parse_junit(text).first_failure
    assert first is not None
    assert MAX_FAILURE - 2 <= len(first.encode()) <= MAX_FAILURE


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><testsuite>&b;</testsuite>'
FILE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><testsuite>&a;</testsuite>'


@pytest.mark.parametrize("text", ["", "hello", "<testsuite>", "<html/>", BOMB, FILE, "<a/>" * 2, "\x00", "\udcff"])
@pytest.mark.parametrize("parse", [parse_junit, parse_cobertura])
def test_what_is_no_report_is_refused(parse, text):
    with pytest.raises(TerminalError) as caught:
        parse(text)
    assert caught.value.code is ErrorCode.TEST_REPORT_INVALID


@pytest.mark.parametrize(
    ("text", "percent"),
    [
        ('<coverage line-rate="0.5" branch-rate="0"/>', 50.0),
        ('<coverage line-rate="0.67" lines-covered="2" lines-valid="3"/>', 66.67),
        ('<coverage line-rate="1" lines-covered="0" lines-valid="0"/>', 100.0),
        (
            (
                '<?xml version="1.0" ?><!DOCTYPE coverage SYSTEM "http://example.com/coverage-04.dtd">'
                '<coverage line-rate="0.25"/>'
            ),
            25.0,
        ),
    ],
)
def test_cobertura(text, percent):
    assert parse_cobertura(text) == percent


@pytest.mark.parametrize("text", ["<coverage/>", '<coverage line-rate="1.5"/>', '<coverage line-rate="nan"/>'])
def test_cobertura_without_a_rate(text):
    with pytest.raises(TerminalError):
        parse_cobertura(text)


MANY = 5_000
HUGE = {
    "sum of times": ("<testsuites>" + "<testsuite time='1e308'/>" * 20 + "</testsuites>", 2**53),
    "times of cases": ("<testsuite>" + "<testcase time='1e308'/>" * 20 + "</testsuite>", 2**53),
    "digits": (f"<testsuite time='{'9' * 100_000}' tests='{'9' * 100_000}'/>", 0),
}


@pytest.mark.parametrize(("text", "duration"), HUGE.values(), ids=HUGE)
def test_numbers_without_end_are_no_internal_error(text, duration):
    found = parse_junit(text)
    assert found.duration_ms == duration
    assert found.total <= 2**53


def test_elements_nested_without_end_are_refused():
    for name in ("testsuite", "testcase", "failure"):
        text = f"<testsuite>{f'<{name}>' * MANY}{f'</{name}>' * MANY}</testsuite>"
        with pytest.raises(TerminalError, match="nested deeper than 100") as caught:
            parse_junit(text)
        assert caught.value.code is ErrorCode.TEST_REPORT_INVALID


def peak_of(function) -> int:
    """Bytes that Python held at most during a call."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_report_is_counted_without_keeping_it():
    case = "<testcase name='x' time='0.001'><failure message='m'>text</failure><system-out>o</system-out></testcase>"
    text = f"<testsuite>{case * MANY}</testsuite>"
    assert parse_junit(text) == summary(MANY, (MANY, 0, 0), 5000, "x: m")
    assert peak_of(lambda: parse_junit(text)) < 3 * len(text)
    assert peak_of(lambda: fromstring(text)) > 5 * len(text), "a tree would be as cheap"


def test_long_texts_and_attributes_are_cut():
    long = "y" * 1_000_000
    text = f"<testsuite><testcase name='{long}' classname='{long}'><error>{long}</error></testcase></testsuite>"
    first = parse_junit(text).first_failure
    assert first is not None
    assert len(first) == MAX_FAILURE
    spread = f"<testsuite><testcase name='x'><error>{'<!-- -->z ' * MANY}</error></testcase></testsuite>"
    assert (parse_junit(spread).first_failure or "").startswith("x: z z z")


def test_failures_that_are_counted_and_not_named_are_believed():
    text = (
        '<testsuite tests="3" failures="1" errors="1"><testcase name="a"/><testcase name="b"/><testcase/></testsuite>'
    )
    assert parse_junit(text) == summary(3, (1, 1, 0), 0, None)


def test_a_reason_that_says_nothing_gives_way_to_the_text():
    text = '<testsuite><testcase name="T"><failure message="Failed">got 3, want 4</failure></testcase></testsuite>'
    assert parse_junit(text).first_failure == "T: got 3, want 4"
    assert parse_junit(text.replace("got 3, want 4", "")).first_failure == "T: Failed"
