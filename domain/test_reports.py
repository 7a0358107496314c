"""What test runners report: JUnit XML (counts, first failure) and Cobertura XML (coverage), read from text."""

import math
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring
from pydantic import BaseModel, ConfigDict

from domain.errors import ErrorCode, TerminalError

MAX_REPORT = 32 * 1024 * 1024
MAX_FAILURE = 1024
_FULL = 100.0


class TestSummary(BaseModel):
    """The result of a test run. `first_failure` names the first failing test and why, at most 1 KiB."""

    __test__ = False

    model_config = ConfigDict(frozen=True)

    total: int
    passed: int
    failed: int
    errors: int
    skipped: int
    duration_ms: int
    first_failure: str | None = None


def parse_junit(text: str) -> TestSummary:
    """The summary of a JUnit XML report.

    Test cases are counted one by one, since writers disagree about the attributes of suites (pytest, surefire,
    jest-junit, unittest-xml-reporting); only a report without any is believed by its attributes.

    Raises:
        TerminalError: TEST_REPORT_INVALID.
    """
    root = _parse(text, "JUnit", ("testsuites", "testsuite"))
    cases = [element for element in root.iter() if _name(element) == "testcase"]
    if not cases:
        return _from_attributes(root)
    outcomes = [_outcome(case) for case in cases]
    counts = {kind: sum(found == kind for found, _ in outcomes) for kind in ("failure", "error", "skipped")}
    bad = ((case, told) for case, (kind, told) in zip(cases, outcomes, strict=True) if kind in {"failure", "error"})
    first = next((_describe(case, told) for case, told in bad), None)
    return TestSummary(
        total=len(cases),
        passed=len(cases) - sum(counts.values()),
        failed=counts["failure"],
        errors=counts["error"],
        skipped=counts["skipped"],
        duration_ms=_duration_ms(root, cases),
        first_failure=first,
    )


def parse_cobertura(text: str) -> float:
    """Line coverage in percent, rounded to two decimals.

    Raises:
        TerminalError: TEST_REPORT_INVALID.
    """
    root = _parse(text, "Cobertura", ("coverage",))
    covered, valid = _number(root, "lines-covered"), _number(root, "lines-valid")
    rate = _number(root, "line-rate")
    if valid and covered is not None:  # exact, where line-rate is often rounded to two digits
        rate = covered / valid
    if rate is None or not 0 <= rate <= 1:
        raise _invalid("the Cobertura report has no line-rate between 0 and 1")
    return round(rate * _FULL, 2)


def _parse(text: str, kind: str, roots: tuple[str, ...]) -> Element:
    if len(text) > MAX_REPORT:
        raise _invalid(f"the {kind} report is larger than {MAX_REPORT // 2**20} MiB")
    try:
        root: Element = fromstring(text.lstrip("\ufeff \t\r\n"))
    except ParseError as error:
        raise _invalid(f"the {kind} report is not XML: {error}") from None
    except (DefusedXmlException, ValueError):
        raise _invalid(f"the {kind} report defines XML entities, which are not accepted") from None
    if _name(root) not in roots:
        raise _invalid(f"the {kind} report begins with <{_name(root)[:50]}>, expected <{'> or <'.join(roots)}>")
    return root


def _invalid(message: str) -> TerminalError:
    return TerminalError(f"{message}; look at `test` in delivery.yaml", code=ErrorCode.TEST_REPORT_INVALID)


def _name(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _outcome(case: Element) -> tuple[str, Element | None]:
    """The worst that the children of a test case tell; `system-out`, `flakyFailure` and others say nothing."""
    told = {_name(child): child for child in reversed(case)}
    kind = next((kind for kind in ("error", "failure", "skipped") if kind in told), "passed")
    return kind, told.get(kind)


def _describe(case: Element, told: Element | None) -> str:
    where = case.get("classname") or case.get("class") or ""
    name = case.get("name") or "unnamed test"
    full = f"{where}.{name}" if where and not name.startswith(where) else name
    why = "" if told is None else told.get("message") or (told.text or "").strip() or told.get("type") or ""
    clean = "".join(c if c.isprintable() or c == "\n" else " " for c in f"{full}: {why}".rstrip(": "))
    return clean.encode("utf-8", errors="replace")[:MAX_FAILURE].decode("utf-8", errors="ignore")


def _number(element: Element, attribute: str) -> float | None:
    """An attribute as a number that is neither negative nor endless; surefire writes `1,234.5`."""
    try:
        number = float(element.get(attribute, "").replace(",", ""))
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _duration_ms(root: Element, cases: list[Element]) -> int:
    """Of the whole, else of the outermost suites together, else of the cases together."""
    for elements in ([root], [child for child in root if _name(child) == "testsuite"], cases):
        seconds = [found for element in elements if (found := _number(element, "time")) is not None]
        if seconds:
            return min(round(sum(seconds) * 1000), 2**53)
    return 0


def _from_attributes(root: Element) -> TestSummary:
    suites = [root] if root.get("tests") is not None else [child for child in root if _name(child) == "testsuite"]

    def total(attribute: str) -> int:
        return int(min(sum(_number(suite, attribute) or 0 for suite in suites), 2**53))

    tests, failed, errors = total("tests"), total("failures"), total("errors")
    skipped = total("skipped") or total("disabled")
    return TestSummary(
        total=tests,
        passed=max(0, tests - failed - errors - skipped),
        failed=failed,
        errors=errors,
        skipped=skipped,
        duration_ms=_duration_ms(root, []),
    )
