"""Tests in a report are a feature's test cases, by name or by file; reports of real tools."""

from itertools import product
from pathlib import Path

import pytest

from domain.case_names import KnownCase
from domain.case_results import MAX_RESULTS, CaseOutcome, CaseResults
from domain.errors import TerminalError
from domain.junit_reports import parse_junit
from tests.domain.test_junit_reports import peak_of

REPORTS = Path(__file__).parent / "reports"


def outcomes(text: str, *cases: tuple[str, str | None] | str) -> dict[str, CaseOutcome]:
    """What became of test cases, by their names."""
    known = [
        KnownCase(str(number), *((case, None) if isinstance(case, str) else case)) for number, case in enumerate(cases)
    ]
    results = CaseResults(known)
    parse_junit(text, results)
    results.end_file(good=True)
    return {known[int(each.case_id)].name: each for each in results.outcomes()}


def statuses(text: str, *cases: tuple[str, str | None] | str) -> dict[str, str]:
    return {name: str(each.status) for name, each in outcomes(text, *cases).items()}


def sample(name: str) -> str:
    return (REPORTS / name).read_text()


REAL = [
    ("pytest/junit.xml", "test_total", "passed"),
    ("pytest/junit.xml", " Test_TOTAL ", "passed"),
    ("pytest/junit.xml", "tests.test_cart.test_total", "passed"),
    ("pytest/junit.xml", "tests/test_cart.py::test_total", "passed"),
    ("pytest/junit.xml", "tests/test_cart.py::TestLimits::test_wrong", "failed"),
    ("pytest/junit.xml", "TestLimits::test_wrong", "failed"),
    ("pytest/junit.xml", "TestLimits.test_later", "skipped"),
    ("pytest/junit.xml", "test_with_database", "error"),
    ("pytest/junit.xml", "test_discount", "passed"),
    ("pytest/junit.xml", "test_discount[50]", "passed"),
    ("jest/junit.xml", "sum adds two numbers", "passed"),
    ("jest/junit.xml", "Adds  two numbers", "passed"),
    ("jest/junit.xml", "adds them wrongly", "failed"),
    ("jest/junit.xml", "of negative numbers is negative", "passed"),
    ("jest/junit.xml", "stands alone", "passed"),
    ("go/junit.xml", "TestTotal", "passed"),
    ("go/junit.xml", "TestTotal/two_things", "passed"),
    ("go/junit.xml", "example.com/shop/cart.TestWrong", "failed"),
    ("go/junit.xml", "TestLater", "skipped"),
    ("surefire/TEST-com.example.shop.CartTest$Empty.xml", "CartTest.total", "passed"),
    ("surefire/TEST-com.example.shop.CartTest$Empty.xml", "com.example.shop.CartTest#wrong", "failed"),
    ("surefire/TEST-com.example.shop.CartTest$Empty.xml", "single", "passed"),
    ("surefire/TEST-com.example.shop.BrokenTest.xml", "throwsSomething", "error"),
]


@pytest.mark.parametrize(("file", "name", "status"), REAL)
def test_a_test_case_is_found_by_its_name(file, name, status):
    assert statuses(sample(file), name) == {name: status}


@pytest.mark.parametrize("file", ["pytest/junit.xml", "jest/junit.xml", "go/junit.xml"])
@pytest.mark.parametrize(
    "name", ["total", "est_total", "test_tota", "adds", "numbers", "TestTotal/", "pytest", "1.2.3"]
)
def test_a_part_of_a_name_is_no_name(file, name):
    assert statuses(sample(file), name) == {}


SCRIPTS = [
    ("pytest/junit.xml", "tests/test_cart.py", "error"),
    ("pytest/junit.xml", "backend/tests/test_cart.py", "error"),
    ("pytest/junit.xml", "tests/test_cart.py::test_total", "passed"),
    ("pytest/junit.xml", "./tests/test_cart.py::TestLimits::test_much", "error"),  # no such test: the file is
    ("jest/junit.xml", "sum.test.js", "failed"),
    ("jest/junit.xml", "web/other.test.js", "passed"),
    ("surefire/TEST-com.example.shop.CartTest$Empty.xml", "src/test/java/com/example/shop/CartTest.java", "failed"),
    ("pytest/junit.xml", "tests/test_order.py", None),
    ("jest/junit.xml", "um.test.js", None),
]


@pytest.mark.parametrize(("file", "script", "status"), SCRIPTS)
def test_a_test_case_is_found_by_its_script(file, script, status):
    assert statuses(sample(file), ("Checkout adds up", script)) == (
        {} if status is None else {"Checkout adds up": status}
    )


def test_of_tests_of_one_name_those_in_the_script_count():
    text = """<testsuite><testcase name="works" file="a.py" time="1"/>
      <testcase name="works" file="b.py" time="2"><failure message="no"/></testcase></testsuite>"""
    assert statuses(text, ("works", "a.py")) == {"works": "passed"}
    assert statuses(text, ("works", "b.py")) == {"works": "failed"}
    assert statuses(text, ("works", "c.py")) == {}
    [both] = outcomes(text, "works").values()
    assert (both.status, both.duration_ms, both.passed, both.failed, both.error_message) == ("failed", 3000, 1, 1, "no")


def test_two_test_cases_of_one_name_have_both_the_result():
    results = CaseResults([KnownCase("1", "a"), KnownCase("2", "A"), KnownCase("3", "b")])
    parse_junit("<testsuite><testcase name='a'/></testsuite>", results)
    results.end_file(good=True)
    assert [each.case_id for each in results.outcomes()] == ["1", "2"]


def test_nested_suites_give_their_innermost_name():
    text = """<testsuites><testsuite name="outer"><testsuite name="inner"><testcase name="x"/></testsuite>
      <testcase name="y"/></testsuite></testsuites>"""
    assert statuses(text, "inner.x", "outer.y", "outer.x", "inner.y") == {"inner.x": "passed", "outer.y": "passed"}


def test_the_worst_of_repeated_tests_counts():
    bad = {"passed": "", "skipped": "<skipped/>", "failed": "<failure/>", "error": "<error/>"}
    order = ["error", "failed", "passed", "skipped"]
    for (one, first), (other, second) in product(bad.items(), repeat=2):
        text = f"<testsuite><testcase name='x'>{first}</testcase><testcase name='x'>{second}</testcase></testsuite>"
        assert statuses(text, "x") == {"x": min(one, other, key=order.index)}


def test_a_broken_file_says_nothing_of_its_test_cases():
    results = CaseResults([KnownCase("1", "x"), KnownCase("2", "y")])
    with pytest.raises(TerminalError):
        parse_junit("<testsuite><testcase name='x'/>", results)
    results.end_file(good=False)
    parse_junit("<testsuite><testcase name='y'/></testsuite>", results)
    results.end_file(good=True)
    assert [each.case_id for each in results.outcomes()] == ["2"]


def test_of_very_many_results_those_that_went_wrong_are_kept():
    count = MAX_RESULTS + 10
    results = CaseResults([KnownCase(str(number), f"case {number}") for number in range(count)])
    fault = f"<failure message='{'m' * 1000}'/>"
    body = "".join(f"<testcase name='case {n}'>{fault * (n >= count - 5)}</testcase>" for n in range(count))
    parse_junit(f"<testsuite>{body}</testsuite>", results)
    results.end_file(good=True)
    kept = results.outcomes()
    assert (len(kept), results.left_out) == (MAX_RESULTS, 10)
    assert [each.case_id for each in kept[:6]] == [*map(str, range(count - 5, count)), "0"]


def test_messages_of_many_failures_have_a_limit_together():
    count = 600
    results = CaseResults([KnownCase(str(number), f"case {number}") for number in range(count)])
    body = "".join(f"<testcase name='case {n}'><error message='{'m' * 2000}'/></testcase>" for n in range(count))
    parse_junit(f"<testsuite>{body}</testsuite>", results)
    results.end_file(good=True)
    told = [len(each.error_message or "") for each in results.outcomes()]
    assert told[0] == 1024
    assert sum(told) <= 256 * 1024


MANY = 5_000


@pytest.mark.parametrize("name", ["'n{}'", f"'{'y' * 500}{{}}'"], ids=["many", "long"])
def test_memory_does_not_grow_with_the_tests_of_a_report(name):
    body = "".join(f"<testcase classname='c{n}' name={name.format(n)}/>" for n in range(MANY))
    text = f"<testsuite>{body}</testsuite>"

    def read() -> None:
        results = CaseResults([KnownCase("1", "x", "c.py"), KnownCase("2", "n1")])
        parse_junit((text[at : at + 65536] for at in range(0, len(text), 65536)), results)
        results.end_file(good=True)

    assert peak_of(read) < 600_000


@pytest.mark.parametrize(
    "name", ["", " ", "\u200b", "x" * 100_000, "[]", "()", "[1]", "::", "a::", "/", "$", ".", "\ufffd"]
)
def test_odd_names_are_nobodys_and_no_fault(name):
    text = (
        f"<testsuite name='{name}' file='{name}'><testcase classname='{name}' name='{name}' file='{name}'/></testsuite>"
    )
    assert statuses(text, ("ordinary", "tests/x.py"), ("other", "::"), ("third", "/")) == {}
    assert set(statuses(text, (name or "x", name))) <= {name}
