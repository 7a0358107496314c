"""What a report says of a feature's test cases, added up while its tests pass by."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from domain.case_names import CaseNames, Key, KnownCase, Reported
from domain.report_xml import MAX_COUNT
from domain.testing import ResultStatus

MAX_RESULTS = 1000
MAX_MESSAGES = 256 * 1024
MAX_INT = 2**31 - 1


class CaseOutcome(BaseModel):
    """How a test case went. `passed`, `failed`: of the tests that were it; an error counts as failed."""

    model_config = ConfigDict(frozen=True)

    case_id: str
    status: ResultStatus
    duration_ms: int
    passed: int
    failed: int
    error_message: str | None = None


@dataclass
class _Tally:
    passed: int = 0
    failed: int = 0
    errors: int = 0
    skipped: int = 0
    seconds: float = 0
    message: str | None = None

    def count(self, status: ResultStatus, seconds: float, message: str | None) -> None:
        match status:
            case ResultStatus.PASSED:
                self.passed += 1
            case ResultStatus.FAILED:
                self.failed += 1
            case ResultStatus.ERROR:
                self.errors += 1
            case ResultStatus.SKIPPED:
                self.skipped += 1
        self.seconds = min(self.seconds + seconds, float(MAX_COUNT))
        self.message = message if self.message is None else self.message

    def add(self, other: "_Tally") -> None:
        self.passed += other.passed
        self.failed += other.failed
        self.errors += other.errors
        self.skipped += other.skipped
        self.seconds = min(self.seconds + other.seconds, float(MAX_COUNT))
        self.message = self.message if self.message is not None else other.message

    @property
    def status(self) -> ResultStatus:
        """The worst of them; what was skipped says nothing beside what ran."""
        if self.errors:
            return ResultStatus.ERROR
        if self.failed:
            return ResultStatus.FAILED
        return ResultStatus.PASSED if self.passed else ResultStatus.SKIPPED


class CaseResults:
    """Tallies of the tests that are test cases of a feature; all others are passed over, however many there are."""

    def __init__(self, cases: Sequence[KnownCase] = ()) -> None:
        self._cases = cases
        self._names = CaseNames(cases)
        self._kept: dict[Key, _Tally] = {}
        self._now: dict[Key, _Tally] = {}

    @property
    def wanted(self) -> bool:
        """Whether there are test cases at all."""
        return bool(self._cases)

    def keys(self, test: Reported) -> list[Key]:
        """Under which keys a test counts, for `add`; empty: it is nobody's."""
        return list(self._names.find(test))

    def add(self, keys: Sequence[Key], status: ResultStatus, seconds: float, message: str | None) -> None:
        """One test of the file that is being read."""
        for key in keys:
            tally = self._now.get(key)
            if tally is None:
                tally = self._now[key] = _Tally()
            tally.count(status, seconds, message)

    def end_file(self, *, good: bool) -> None:
        """The file was read to its end; one that is broken says nothing."""
        for key, tally in self._now.items() if good else ():
            self._kept.setdefault(key, _Tally()).add(tally)
        self._now = {}

    def outcomes(self) -> tuple[CaseOutcome, ...]:
        """At most `MAX_RESULTS`, those that went wrong before the others."""
        found = sorted(self._found(), key=lambda each: each[1].status not in {ResultStatus.ERROR, ResultStatus.FAILED})
        room, told = MAX_MESSAGES, []
        for case, tally in found[:MAX_RESULTS]:
            message = tally.message if tally.message is None or len(tally.message.encode()) <= room else None
            room -= len((message or "").encode())
            told.append(_outcome(case, tally, message))
        return tuple(told)

    @property
    def left_out(self) -> int:
        """How many more test cases there are results of."""
        return max(0, sum(1 for _ in self._found()) - MAX_RESULTS)

    def _found(self) -> Iterator[tuple[KnownCase, _Tally]]:
        for position, case in enumerate(self._cases):
            tally = next((self._kept[key] for key in self._names.keys_of(position) if key in self._kept), None)
            if tally is not None:
                yield case, tally


def _outcome(case: KnownCase, tally: _Tally, message: str | None) -> CaseOutcome:
    return CaseOutcome(
        case_id=case.id,
        status=tally.status,
        duration_ms=min(round(tally.seconds * 1000), MAX_INT),
        passed=min(tally.passed, MAX_INT),
        failed=min(tally.failed + tally.errors, MAX_INT),
        error_message=message,
    )
