"""How much of the sources tests ran through: line coverage as Cobertura, JaCoCo and lcov tell it.

What contradicts itself is refused: a threshold that is kept by a report nobody can believe is not kept.
"""

from collections.abc import Iterable, Iterator, Mapping
from decimal import ROUND_FLOOR, Decimal
from itertools import chain
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from domain.errors import TerminalError
from domain.report_xml import MAX_NUMBER, MAX_REPORT, Elements, invalid, number_of, other_format, read_elements

MAX_LINE = 64 * 1024
MAX_LINES = 2_000_000
MAX_DIGITS = 18
_FULL = 100
_ROUNDED = 0.011  # writers round rates to two digits, or cut them
_HUNDREDTH = Decimal("0.01")


class Coverage(BaseModel):
    """Of lines: how many ran of how many. `valid` is None when a report tells only the `rate` (0 to 1)."""

    model_config = ConfigDict(frozen=True)

    covered: int = 0
    valid: int | None = 0
    rate: float | None = None

    @property
    def percent(self) -> float:
        """Rounded to two decimals; of no lines at all, what the report says, else all."""
        if self.valid:
            return float(round(Decimal(self.covered * _FULL) / self.valid, 2))
        return round((1.0 if self.rate is None else self.rate) * _FULL, 2)

    @property
    def measures_nothing(self) -> bool:
        """Whether there was no line that tests could have run through."""
        return self.valid == 0

    def reaches(self, percent: float) -> bool:
        """Whether it is so much, without any rounding."""
        wanted = Decimal(str(percent))
        if self.valid is not None:
            return self.covered * _FULL >= wanted * self.valid
        return Decimal(str(self.rate)) * _FULL >= wanted

    def shown(self) -> str:
        """In percent, never more than it is."""
        exact = Decimal(self.covered * _FULL) / self.valid if self.valid else Decimal(str(self.rate or 0)) * _FULL
        return format(exact.quantize(_HUNDREDTH, rounding=ROUND_FLOOR).normalize(), "f")

    def __add__(self, other: "Coverage") -> "Coverage":
        """Of two reports about different sources; raises `TerminalError` when one tells only its rate."""
        if self.valid is None or other.valid is None:
            raise invalid("a coverage report without lines-valid and lines-covered cannot be added to others")
        return Coverage(covered=self.covered + other.covered, valid=self.valid + other.valid)


class CoverageReports:
    """Coverage of several reports together. Lines of one source file in lcov records are counted once, others added."""

    def __init__(self) -> None:
        self._xml: Coverage | None = None
        self._lcov = _Lcov()

    def read(self, chunks: Iterable[str]) -> None:
        """One report, recognised by its beginning.

        Raises:
            OtherFormatError: it is XML of another kind.
            TerminalError: TEST_REPORT_INVALID.
        """
        pieces = iter(chunks)
        first = next((piece for each in pieces if (piece := each.lstrip("\ufeff \t\r\n"))), "")
        if not first.startswith("<"):
            self._lcov.read(chain((first,), pieces))
            return
        report = _CoverageXml()
        read_elements(chain((first,), pieces), report)
        found = report.coverage()
        self._xml = found if self._xml is None else self._xml + found

    def together(self) -> Coverage | None:
        """None: nothing was read."""
        lcov = self._lcov.coverage()
        if self._xml is None or lcov is None:
            return self._xml or lcov
        return self._xml + lcov


def parse_cobertura(text: str) -> float:
    """Line coverage of a Cobertura (or JaCoCo) report in percent, rounded to two decimals.

    Raises:
        TerminalError: TEST_REPORT_INVALID.
    """
    report = _CoverageXml()
    read_elements([text], report)
    return report.coverage().percent


class _CoverageXml(Elements):
    """Cobertura's totals stand at its root, JaCoCo's in the counters directly below it."""

    kind: ClassVar[str] = "Cobertura"
    roots: ClassVar[tuple[str, ...]] = ("coverage", "report")

    def __init__(self) -> None:
        super().__init__()
        self._lines: Mapping[str, str] | None = None

    def check_root(self) -> None:
        super().check_root()
        if "clover" in self.root:
            raise other_format("the coverage report is Clover's; let the tool write Cobertura or lcov")

    def opened(self, name: str, attributes: Mapping[str, str]) -> None:
        if name == "counter" and self.depth == 2 and attributes.get("type") == "LINE":  # noqa: PLR2004 - below the root
            self._lines = dict(attributes)

    def coverage(self) -> Coverage:
        return self._jacoco() if self.root_name == "report" else self._cobertura()

    def _jacoco(self) -> Coverage:
        if self._lines is None:
            raise invalid('the JaCoCo report has no <counter type="LINE"> of the whole')
        missed, covered = _count(self._lines, "missed"), _count(self._lines, "covered")
        if missed is None or covered is None:
            raise invalid("the JaCoCo report does not say how many lines were missed and covered")
        return Coverage(covered=covered, valid=missed + covered)

    def _cobertura(self) -> Coverage:
        covered, valid = _count(self.root, "lines-covered"), _count(self.root, "lines-valid")
        rate = _rate(self.root)
        if covered is None or valid is None:  # old writers have none
            if rate is None:
                raise invalid("the Cobertura report has no line-rate between 0 and 1")
            return Coverage(valid=None, rate=rate)
        if covered > valid or (rate is not None and valid and abs(covered / valid - rate) > _ROUNDED):
            raise invalid(
                f"the Cobertura report contradicts itself: {covered} of {valid} lines are covered, and its line-rate "
                f"is {self.root.get('line-rate', '')[:MAX_NUMBER]}"
            )
        return Coverage(covered=covered, valid=valid, rate=rate)


def _count(attributes: Mapping[str, str], name: str) -> int | None:
    if name not in attributes:
        return None
    number = _whole(attributes[name].strip())
    if number is None:
        raise invalid(f"the coverage report says {name}={attributes[name][:MAX_NUMBER]!r}, which is no number of lines")
    return number


def _rate(attributes: Mapping[str, str]) -> float | None:
    if "line-rate" not in attributes:
        return None
    rate = number_of(attributes, "line-rate")
    if rate is None or rate > 1:
        raise invalid("the Cobertura report has no line-rate between 0 and 1")
    return rate


class _Lcov:
    """Records of lcov files: `SF:` the source file, `DA:` a line and its count, `LF:` and `LH:` how many of them."""

    def __init__(self) -> None:
        self._sources: dict[str, int] = {}
        self._lines: dict[int, bool] = {}  # by number of the source file and line
        self._counted = Coverage()  # of records that tell no lines
        self._records = 0

    def coverage(self) -> Coverage | None:
        if not self._records:
            return None
        return Coverage(covered=sum(self._lines.values()), valid=len(self._lines)) + self._counted

    def read(self, chunks: Iterable[str]) -> None:
        record: _Record | None = None
        known = self._records
        for number, line in enumerate(_lines(chunks), start=1):
            key, _, value = line.partition(":")
            if key == "SF":
                if record is not None:
                    raise _lcov_fault(number, "a record begins inside of another one")
                record = _Record(self._sources.setdefault(value, len(self._sources)))
            elif key in {"DA", "LF", "LH"}:
                if record is None:
                    raise _lcov_fault(number, f"{key} stands outside of a record (SF: ... end_of_record)")
                record.add(key, value, number)
            elif key == "end_of_record" and record is not None:
                self._end(record, number)
                record = None
            elif number == 1 and key not in {"TN", "VER"} and not line.startswith("#"):
                raise other_format("the coverage report is neither Cobertura nor JaCoCo nor lcov")
        if record is not None:
            raise invalid("the lcov report ends in the middle of a record; it was cut off")
        if self._records == known:
            raise invalid("the lcov report has no records (SF: ... end_of_record)")

    def _end(self, record: "_Record", number: int) -> None:
        self._records += 1
        record.check(number)
        if not record.lines:
            self._counted += Coverage(covered=record.hit or 0, valid=record.found or 0)
        base = record.source << 64
        for line, hit in record.lines.items():
            self._lines[base | line] = hit or self._lines.get(base | line, False)
        if len(self._lines) > MAX_LINES:
            raise invalid(f"the lcov report has more than {MAX_LINES:,} lines; let the tool write Cobertura")


class _Record:
    def __init__(self, source: int) -> None:
        self.source = source
        self.lines: dict[int, bool] = {}
        self.found: int | None = None
        self.hit: int | None = None
        self._told = 0

    def add(self, key: str, value: str, number: int) -> None:
        if key == "LF":
            self.found = _lcov_number(value, number)
        elif key == "LH":
            self.hit = _lcov_number(value, number)
        else:
            line, _, rest = value.partition(",")
            hits = _lcov_number(rest.partition(",")[0], number) > 0
            at = _lcov_number(line, number)
            self.lines[at] = hits or self.lines.get(at, False)
            self._told += 1

    def check(self, number: int) -> None:
        """Whether the sums are those of the lines: repeated ones may count each time."""
        if self.hit is not None and self.found is not None and self.hit > self.found:
            raise _lcov_fault(number, f"{self.hit} lines of {self.found} are covered (LH, LF)")
        if not self.lines:
            return
        distinct = len(self.lines)
        if self.found not in {None, distinct, self._told}:
            raise _lcov_fault(number, f"the record says that it has {self.found} lines (LF), and has {distinct}")
        if self.hit is not None and self._told == distinct and self.hit != sum(self.lines.values()):
            raise _lcov_fault(
                number, f"the record says that {self.hit} lines are covered (LH), and {sum(self.lines.values())} are"
            )


def _lcov_number(text: str, number: int) -> int:
    value = _whole(text.strip())
    if value is None:
        raise _lcov_fault(number, f"{text[:MAX_NUMBER]!r} is no number of lines or runs")
    return value


def _lcov_fault(number: int, words: str) -> TerminalError:
    return invalid(f"the lcov report cannot be believed: in line {number} {words}")


def _whole(text: str) -> int | None:
    """A whole number that is neither negative nor larger than any that is counted."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS else None


def _lines(chunks: Iterable[str]) -> Iterator[str]:
    """Lines that are not empty; each at most `MAX_LINE` characters, all of them at most `MAX_REPORT`."""
    rest, size = "", 0
    for chunk in chunks:
        size += len(chunk)
        if size > MAX_REPORT:
            raise invalid(f"the lcov report is larger than {MAX_REPORT // 2**20} MiB")
        *whole, rest = (rest + chunk).split("\n")
        if len(rest) > MAX_LINE:
            raise invalid(f"the coverage report has a line of more than {MAX_LINE} characters")
        yield from (line for each in whole if (line := each.strip()))
    if last := rest.strip():
        yield last
