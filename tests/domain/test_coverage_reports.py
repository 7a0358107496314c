"""Line coverage in Cobertura, JaCoCo and lcov; what contradicts itself is refused."""

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.coverage_reports import Coverage, CoverageReports
from domain.errors import ErrorCode, TerminalError

REPORTS = Path(__file__).parent / "reports"
RECORD = "SF:a.py\nDA:1,1\nDA:2,0\nLF:2\nLH:1\nend_of_record\n"


def read(*texts: str) -> Coverage | None:
    reports = CoverageReports()
    for text in texts:
        reports.read([text])
    return reports.together()


@pytest.mark.parametrize(
    ("name", "covered", "valid"),
    [
        ("pytest/coverage.xml", 5, 8),
        ("pytest/lcov.info", 5, 8),
        ("jest/cobertura-coverage.xml", 2, 5),
        ("jest/lcov.info", 2, 5),
        ("go/cobertura.xml", 6, 11),
        ("go/lcov.info", 6, 11),
        ("surefire/jacoco.xml", 4, 8),
    ],
)
def test_reports_of_real_tools(name, covered, valid):
    text = (REPORTS / name).read_text()
    found = read(text)
    assert (found.covered, found.valid) == (covered, valid)
    pieces = CoverageReports()
    pieces.read(text[at : at + 7] for at in range(0, len(text), 7))
    assert pieces.together() == found


LCOV = {
    "negative runs": "SF:a\nDA:1,-1\nend_of_record\n",
    "a negative line": "SF:a\nDA:-1,1\nend_of_record\n",
    "negative sums": "SF:a\nLF:-2\nLH:-3\nend_of_record\n",
    "more than is counted": f"SF:a\nDA:1,{2**64}\nend_of_record\n",
    "digits without end": f"SF:a\nLF:{'9' * 5000}\nend_of_record\n",
    "a fraction": "SF:a\nDA:1,0.5\nend_of_record\n",
    "no number": "SF:a\nDA:x,1\nend_of_record\n",
    "digits of other scripts": "SF:a\nDA:1,\u0663\nend_of_record\n",
    "nothing": "SF:a\nDA:\nend_of_record\n",
    "more covered than lines": "SF:a\nLF:2\nLH:3\nend_of_record\n",
    "lines that are not there": "SF:a\nDA:1,1\nLF:10\nLH:1\nend_of_record\n",
    "covered that are not": "SF:a\nDA:1,1\nDA:2,0\nLF:2\nLH:2\nend_of_record\n",
    "cut off": RECORD + "SF:b.py\nDA:1,1\n",
    "cut off in its end": RECORD[:-4],
    "outside of a record": "TN:\nDA:1,1\n",
    "a record in a record": "SF:a\nSF:b\nend_of_record\n",
    "no record": "TN:x\n",
    "another format": "mode: set\na/b.go:1.2,3.4 1 1\n",
    "nothing at all": "",
    "a line without end": "SF:a" + "b" * 70_000,
}


@pytest.mark.parametrize("text", LCOV.values(), ids=LCOV)
def test_an_lcov_report_that_cannot_be_believed_is_refused(text):
    with pytest.raises(TerminalError) as caught:
        read(text)
    assert caught.value.code is ErrorCode.TEST_REPORT_INVALID
    assert "look at `test` in delivery.yaml" in caught.value.message
    assert len(caught.value.message) < 300


COBERTURA = [
    "<coverage lines-covered='3' lines-valid='2'/>",
    "<coverage lines-covered='-1' lines-valid='2' line-rate='0.5'/>",
    "<coverage lines-covered='1e2' lines-valid='200'/>",
    f"<coverage lines-covered='1' lines-valid='{'9' * 400}'/>",
    "<coverage lines-covered='1' lines-valid='2' line-rate='0.9'/>",
    "<coverage lines-covered='1' lines-valid='2' line-rate='-1'/>",
    "<coverage line-rate='1.01'/>",
    "<coverage line-rate='inf'/>",
    "<report/>",
    "<report><counter type='BRANCH' missed='0' covered='1'/></report>",
    "<report><counter type='LINE' missed='x' covered='1'/></report>",
    "<report><package><counter type='LINE' missed='0' covered='1'/></package></report>",
    "<coverage line-rate='1'",
]


@pytest.mark.parametrize("text", COBERTURA)
def test_coverage_in_xml_that_cannot_be_believed_is_refused(text):
    with pytest.raises(TerminalError) as caught:
        read(text)
    assert caught.value.code is ErrorCode.TEST_REPORT_INVALID


def test_records_of_one_source_count_its_lines_once():
    other = RECORD.replace("DA:1,1\nDA:2,0\nLF:2\nLH:1", "DA:2,5\nDA:3,0\nLF:2\nLH:1")
    for texts in ((RECORD + other,), (RECORD, other), (RECORD, other, RECORD, other)):
        found = read(*texts)
        assert (found.covered, found.valid) == (2, 3)
    assert read(RECORD, RECORD.replace("a.py", "b.py")).valid == 4


def test_records_that_tell_only_sums_are_believed_and_others_lines_may_repeat():
    assert read("SF:a\nLF:10\nLH:4\nend_of_record\nSF:b\nLF:10\nLH:0\nend_of_record\n").percent == 20
    assert read("SF:a\r\nDA:1,0\r\nDA:1,2\r\nLF:2\r\nLH:1\r\nend_of_record\r\n").percent == 100


def test_a_rate_alone_cannot_be_added_to_others():
    assert read("<coverage line-rate='0.5'/>").percent == 50
    with pytest.raises(TerminalError, match="cannot be added"):
        read("<coverage line-rate='0.5'/>", RECORD).percent  # noqa: B018 - adding is what fails


LINES = st.integers(min_value=0, max_value=10**12)
PERCENT = st.floats(min_value=0, max_value=100, allow_nan=False)


@given(LINES, LINES, PERCENT)
def test_what_reaches_a_threshold_has_no_rounding_to_thank_for_it(covered, missed, percent):
    found = Coverage(covered=covered, valid=covered + missed)
    if found.measures_nothing:
        return
    reaches = found.reaches(percent)
    exact = Fraction(covered * 100, covered + missed)
    assert reaches == (exact >= Fraction(str(percent)))
    assert Fraction(found.shown()) <= exact < Fraction(found.shown()) + Fraction(1, 100)


def test_almost_is_not_enough():
    found = Coverage(covered=79_999, valid=100_000)
    assert (found.reaches(80), found.reaches(79.999), found.shown()) == (False, True, "79.99")
    assert Coverage(covered=0, valid=5).shown() == "0"
    assert Coverage(covered=5, valid=5).shown() == "100"
    assert Coverage(valid=None, rate=0.1).reaches(10)
    assert not Coverage(valid=None, rate=0.0999).reaches(10)
