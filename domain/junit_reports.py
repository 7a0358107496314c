"""What test runners report in JUnit XML: counts, the first failure, and what became of a feature's test cases."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from domain.case_names import MAX_NAME, Reported
from domain.case_results import CaseResults
from domain.report_xml import MAX_COUNT, Elements, number_of, read_elements
from domain.testing import ResultStatus

MAX_FAILURE = 1024
# The worst first, as XML calls them.
_KINDS: Mapping[str, ResultStatus] = {
    "error": ResultStatus.ERROR,
    "failure": ResultStatus.FAILED,
    "skipped": ResultStatus.SKIPPED,
}

_SAY_NOTHING = frozenset({"failed", "failure", "error"})


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

    def __add__(self, other: "TestSummary") -> "TestSummary":
        """Of two reports of one run."""
        names = ("total", "passed", "failed", "errors", "skipped", "duration_ms")
        sums = {name: min(getattr(self, name) + getattr(other, name), MAX_COUNT) for name in names}
        return TestSummary(**sums, first_failure=self.first_failure or other.first_failure)


def parse_junit(text: str | Iterable[str], results: CaseResults | None = None) -> TestSummary:
    """The summary of a JUnit XML report, which may come in pieces; `results` is told of every test case.

    Test cases are counted one by one, since writers disagree about the attributes of suites (pytest, surefire,
    jest-junit, unittest-xml-reporting); only a report without any is believed by its attributes.

    Raises:
        OtherFormatError: it is a report of another kind.
        TerminalError: TEST_REPORT_INVALID.
    """
    report = _JUnit(CaseResults() if results is None else results)
    read_elements([text] if isinstance(text, str) else text, report)
    said = report.by_attributes()
    if not report.cases:
        return said
    failed, errors = report.counts["failure"], report.counts["error"]
    if not failed + errors:  # whoever counts failures that no test case tells of is believed
        failed, errors = said.failed, said.errors
    skipped = report.counts["skipped"]
    return TestSummary(
        total=report.cases,
        passed=max(0, report.cases - failed - errors - skipped),
        failed=failed,
        errors=errors,
        skipped=skipped,
        duration_ms=report.duration_ms(),
        first_failure=report.first_failure,
    )


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


class _JUnit(Elements):
    """Counts the cases of a report as they pass by."""

    kind: ClassVar[str] = "JUnit"
    roots: ClassVar[tuple[str, ...]] = ("testsuites", "testsuite")

    def __init__(self, results: CaseResults) -> None:
        super().__init__()
        self.cases = 0
        self.counts: Counter[str] = Counter()
        self.first_failure: str | None = None
        self._results = results
        self._sums: Counter[str] = Counter()  # of the outermost suites
        self._suite_times: list[float] = []
        self._case_seconds: float | None = None
        self._suites: list[tuple[int, str, str]] = []  # depth, name, file of those that are open
        self._open: list[_Case] = []
        self._telling: _Told | None = None

    def opened(self, name: str, attributes: Mapping[str, str]) -> None:
        if name == "testcase":
            self._open.append(_Case(dict(attributes), self.depth))
        elif self._open and self._open[-1].depth == self.depth - 1:
            self._tell(name, attributes)
        if name == "testsuite":
            self._open_suite(attributes)
        if self._telling and self._telling.text:
            self._telling = None  # text after an element inside belongs to nobody

    def _open_suite(self, attributes: Mapping[str, str]) -> None:
        above = self._suites[-1][2] if self._suites else ""
        name, file = attributes.get("name", "")[: MAX_NAME + 1], attributes.get("file", "")[: 2 * MAX_NAME + 1]
        self._suites.append((self.depth, name, file or above))
        if self.depth == 2:  # noqa: PLR2004 - below the root
            self._add_suite(attributes)

    def _tell(self, name: str, attributes: Mapping[str, str]) -> None:
        told = self._open[-1].told
        if name in _KINDS and name not in told:
            self._telling = told[name] = _Told(dict(attributes))

    def _add_suite(self, attributes: Mapping[str, str]) -> None:
        for name in ("tests", "failures", "errors", "skipped", "disabled"):
            self._sums[name] += int(number_of(attributes, name) or 0)
        if (seconds := number_of(attributes, "time")) is not None:
            self._suite_times = [sum(self._suite_times) + seconds]

    def data(self, text: str) -> None:
        told = self._telling
        if told is not None and len(told.text) < 2 * MAX_FAILURE:
            told.text = (told.text + text[: 2 * MAX_FAILURE]).lstrip()

    def closed(self) -> None:
        if self._open and self._open[-1].depth == self.depth:
            self._count(self._open.pop())
        if self._suites and self._suites[-1][0] == self.depth:
            self._suites.pop()
        self._telling = None

    def _count(self, case: _Case) -> None:
        self.cases += 1
        seconds = number_of(case.attributes, "time")
        if seconds is not None:
            self._case_seconds = (self._case_seconds or 0) + seconds
        kind = next((kind for kind in _KINDS if kind in case.told), None)
        status = ResultStatus.PASSED if kind is None else _KINDS[kind]
        if kind is not None:
            self.counts[kind] += 1
        failing = kind if status in {ResultStatus.ERROR, ResultStatus.FAILED} else None
        if failing and self.first_failure is None:
            self.first_failure = _describe(case.attributes, case.told[failing])
        if self._results.wanted and (keys := self._results.keys(self._reported(case.attributes))):
            message = _clean(_reason(case.told[failing])) or None if failing else None
            self._results.add(keys, status, seconds or 0, message)

    def _reported(self, attributes: Mapping[str, str]) -> Reported:
        _, suite, file = self._suites[-1] if self._suites else (0, "", "")
        classname = (attributes.get("classname") or attributes.get("class") or "")[: MAX_NAME + 1]
        name, own = attributes.get("name", "")[: MAX_NAME + 1], attributes.get("file", "")[: 2 * MAX_NAME + 1]
        return Reported(name, classname, suite, own or file)

    def duration_ms(self) -> int:
        """Of the whole, else of the outermost suites together, else of the cases together."""
        whole = number_of(self.root, "time")
        seconds = (whole, *self._suite_times, self._case_seconds)
        return min(round(next((one for one in seconds if one is not None), 0) * 1000), MAX_COUNT)

    def by_attributes(self) -> TestSummary:
        """What the suites say of themselves; the whole alone, if it says anything."""

        def total(name: str) -> int:
            own = self.root.get("tests") is not None
            return min(int(number_of(self.root, name) or 0) if own else self._sums[name], MAX_COUNT)

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


def _describe(case: Mapping[str, str], told: _Told) -> str:
    where = (case.get("classname") or case.get("class") or "")[:MAX_FAILURE]
    name = (case.get("name") or "unnamed test")[:MAX_FAILURE]
    full = f"{where}.{name}" if where and not name.startswith(where) else name
    return _clean(f"{full}: {_reason(told)}".rstrip(": "))


def _reason(told: _Told) -> str:
    message, text = told.attributes.get("message") or "", told.text.strip()
    if message.casefold() in _SAY_NOTHING:  # go-junit-report's
        message = ""
    return (message or text or told.attributes.get("message") or told.attributes.get("type") or "")[:MAX_FAILURE]


def _clean(text: str) -> str:
    clean = "".join(c if c.isprintable() or c == "\n" else " " for c in text)
    return clean.encode("utf-8", errors="replace")[:MAX_FAILURE].decode("utf-8", errors="ignore")
