"""What test runners report: JUnit XML (counts, first failure) and Cobertura XML (coverage), read from text.

Read as a stream of events that keeps counts and never a tree: a report of 8 MiB takes 232 MiB as one.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser
from pydantic import BaseModel, ConfigDict

from domain.errors import ErrorCode, TerminalError

MAX_REPORT = 32 * 1024 * 1024
MAX_FAILURE = 1024
MAX_NUMBER = 64
MAX_DEPTH = 100
MAX_COUNT = 2**53
_FULL = 100.0
_KINDS = ("error", "failure", "skipped")  # the worst first


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
    report = _JUnit()
    _read(text, report, "JUnit", ("testsuites", "testsuite"))
    if not report.cases:
        return report.by_attributes()
    bad = report.counts
    return TestSummary(
        total=report.cases,
        passed=report.cases - bad.total(),
        failed=bad["failure"],
        errors=bad["error"],
        skipped=bad["skipped"],
        duration_ms=report.duration_ms(),
        first_failure=report.first_failure,
    )


def parse_cobertura(text: str) -> float:
    """Line coverage in percent, rounded to two decimals.

    Raises:
        TerminalError: TEST_REPORT_INVALID.
    """
    report = _Report()
    _read(text, report, "Cobertura", ("coverage",))
    covered, valid = _number(report.root, "lines-covered"), _number(report.root, "lines-valid")
    rate = _number(report.root, "line-rate")
    if valid and covered is not None:  # exact, where line-rate is often rounded to two digits
        rate = covered / valid
    if rate is None or not 0 <= rate <= 1:
        raise _invalid("the Cobertura report has no line-rate between 0 and 1")
    return round(rate * _FULL, 2)


class _Report:
    """What expat tells of a document; of everything it keeps the root's name and attributes."""

    def __init__(self) -> None:
        self.depth = 0
        self.root_name = ""
        self.root: Mapping[str, str] = {}

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        name = tag.rpartition("}")[2]
        if self.depth == 0:
            self.root_name, self.root = name, dict(attributes)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _invalid(f"the report's elements are nested deeper than {MAX_DEPTH}")
        self.opened(name, attributes)

    def end(self, _tag: str) -> None:
        self.closed()
        self.depth -= 1

    def data(self, text: str) -> None:
        """Text between tags."""

    def opened(self, name: str, attributes: Mapping[str, str]) -> None:
        """An element begins."""

    def closed(self) -> None:
        """An element ends."""

    def close(self) -> None:
        """The document ends."""


@dataclass
class _Case:
    """A test case under way; `told`: of each kind the first, with its attributes and the beginning of its text."""

    attributes: Mapping[str, str]
    depth: int
    told: dict[str, "_Told"] = field(default_factory=dict)


@dataclass
class _Told:
    attributes: Mapping[str, str]
    text: str = ""


class _JUnit(_Report):
    """Counts the cases of a report as they pass by."""

    def __init__(self) -> None:
        super().__init__()
        self.cases = 0
        self.counts: Counter[str] = Counter()
        self.first_failure: str | None = None
        self._sums: Counter[str] = Counter()  # of the outermost suites
        self._suite_times: list[float] = []
        self._case_seconds: float | None = None
        self._open: list[_Case] = []
        self._telling: _Told | None = None

    def opened(self, name: str, attributes: Mapping[str, str]) -> None:
        if name == "testcase":
            self._open.append(_Case(dict(attributes), self.depth))
        elif self._open and self._open[-1].depth == self.depth - 1:
            self._tell(name, attributes)
        if name == "testsuite" and self.depth == 2:  # noqa: PLR2004 - below the root
            self._add_suite(attributes)
        if self._telling and self._telling.text:
            self._telling = None  # text after an element inside belongs to nobody

    def _tell(self, name: str, attributes: Mapping[str, str]) -> None:
        told = self._open[-1].told
        if name in _KINDS and name not in told:
            self._telling = told[name] = _Told(dict(attributes))

    def _add_suite(self, attributes: Mapping[str, str]) -> None:
        for name in ("tests", "failures", "errors", "skipped", "disabled"):
            self._sums[name] += int(_number(attributes, name) or 0)
        if (seconds := _number(attributes, "time")) is not None:
            self._suite_times = [sum(self._suite_times) + seconds]

    def data(self, text: str) -> None:
        told = self._telling
        if told is not None and len(told.text) < 2 * MAX_FAILURE:
            told.text = (told.text + text[: 2 * MAX_FAILURE]).lstrip()

    def closed(self) -> None:
        if self._open and self._open[-1].depth == self.depth:
            self._count(self._open.pop())
        self._telling = None

    def _count(self, case: _Case) -> None:
        self.cases += 1
        if (seconds := _number(case.attributes, "time")) is not None:
            self._case_seconds = (self._case_seconds or 0) + seconds
        kind = next((kind for kind in _KINDS if kind in case.told), None)
        if kind is None:
            return
        self.counts[kind] += 1
        if kind != "skipped" and self.first_failure is None:
            self.first_failure = _describe(case.attributes, case.told[kind])

    def duration_ms(self) -> int:
        """Of the whole, else of the outermost suites together, else of the cases together."""
        whole = _number(self.root, "time")
        seconds = (whole, *self._suite_times, self._case_seconds)
        return min(round(next((one for one in seconds if one is not None), 0) * 1000), MAX_COUNT)

    def by_attributes(self) -> TestSummary:
        """What the suites say of themselves; the whole alone, if it says anything."""

        def total(name: str) -> int:
            own = self.root.get("tests") is not None
            return min(int(_number(self.root, name) or 0) if own else self._sums[name], MAX_COUNT)

        tests, failed, errors = total("tests"), total("failures"), total("errors")
        skipped = total("skipped") or total("disabled")
        return TestSummary(
            total=tests,
            passed=max(0, tests - failed - errors - skipped),
            failed=failed,
            errors=errors,
            skipped=skipped,
            duration_ms=self.duration_ms(),
        )


def _read(text: str, report: _Report, kind: str, roots: tuple[str, ...]) -> None:
    if len(text) > MAX_REPORT:
        raise _invalid(f"the {kind} report is larger than {MAX_REPORT // 2**20} MiB")
    parser = DefusedXMLParser(target=report)
    try:
        parser.feed(text.lstrip("\ufeff \t\r\n"))
        parser.close()
    except ParseError as error:
        raise _invalid(f"the {kind} report is not XML: {error}") from None
    except (DefusedXmlException, ValueError):
        raise _invalid(f"the {kind} report defines XML entities, which are not accepted") from None
    if report.root_name not in roots:
        raise _invalid(f"the {kind} report begins with <{report.root_name[:50]}>, expected <{'> or <'.join(roots)}>")


def _invalid(message: str) -> TerminalError:
    return TerminalError(f"{message}; look at `test` in delivery.yaml", code=ErrorCode.TEST_REPORT_INVALID)


def _describe(case: Mapping[str, str], told: _Told) -> str:
    where = (case.get("classname") or case.get("class") or "")[:MAX_FAILURE]
    name = (case.get("name") or "unnamed test")[:MAX_FAILURE]
    full = f"{where}.{name}" if where and not name.startswith(where) else name
    why = (told.attributes.get("message") or told.text.strip() or told.attributes.get("type") or "")[:MAX_FAILURE]
    clean = "".join(c if c.isprintable() or c == "\n" else " " for c in f"{full}: {why}".rstrip(": "))
    return clean.encode("utf-8", errors="replace")[:MAX_FAILURE].decode("utf-8", errors="ignore")


def _number(attributes: Mapping[str, str], name: str) -> float | None:
    """An attribute as a number that is neither negative nor endless; surefire writes `1,234.5`."""
    text = attributes.get(name, "")
    if len(text) > MAX_NUMBER:
        return None
    try:
        number = float(text.replace(",", ""))
    except ValueError:
        return None
    return min(number, float(MAX_COUNT)) if math.isfinite(number) and number >= 0 else None
