"""Files that `test.report` and `test.coverage` name, in a stranger's checkout."""

import os
import shutil
import socket
from pathlib import Path

import pytest

from activities import report_files
from activities.reports import ReadCoverage, ReadTests, mark_reports, read_coverage, read_tests
from domain.errors import ErrorCode, TerminalError
from runtime.limited import CostLimits, LimitedProcesses

SAMPLES = Path(__file__).parents[1] / "domain" / "reports"
ONE = "<testsuite><testcase name='{}'/></testsuite>"
CASES = [["1", "a", None], ["2", "b", None]]


@pytest.fixture
def tree(tmp_path):
    """A checkout with a service's folder, beside something that is not in it."""
    (tmp_path / "secret.xml").write_text(ONE.format("secret"))
    found = tmp_path / "tree"
    (found / "app").mkdir(parents=True)
    return found


def put(tree: Path, name: str, text: str | bytes) -> Path:
    path = tree / "app" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def junit_of(tree: Path, *names: str, before=None) -> ReadTests:
    return read_tests(str(tree), "app", names, before or {}, CASES)


def coverage_of(tree: Path, *names: str) -> ReadCoverage:
    return read_coverage(str(tree), "app", names, {})


def test_surefire_writes_a_file_a_class_and_all_are_one_report(tree):
    shutil.copytree(SAMPLES / "surefire", tree / "app" / "target" / "surefire-reports")
    for name in ("target/surefire-reports", "target/surefire-reports/TEST-*.xml", "**/TEST-*.xml", "target/"):
        found = junit_of(tree, name)
        assert (found.faults, found.missing) == ((), ()), name
        summary = found.summary
        assert (summary.total, summary.passed, summary.failed, summary.errors, summary.skipped) == (7, 4, 1, 1, 1)
    assert coverage_of(tree, "target").coverage.percent == 50  # its own format only: JaCoCo's


def test_a_folder_of_jest_has_reports_of_three_formats(tree):
    shutil.copytree(SAMPLES / "jest", tree / "app" / "coverage")
    assert coverage_of(tree, "coverage").coverage.percent == 40
    assert junit_of(tree, "coverage").summary.total == 5
    for name in ("coverage/lcov.info", "coverage/cobertura-coverage.xml", "coverage/*.info"):
        assert coverage_of(tree, name).coverage.percent == 40
    [fault] = coverage_of(tree, "coverage/clover.xml").faults
    assert "coverage/clover.xml: the coverage report is Clover's" in fault
    [fault] = junit_of(tree, "coverage/cobertura-coverage.xml").faults
    assert "begins with <coverage>" in fault


@pytest.mark.parametrize(("name", "percent"), [("pytest/coverage.xml", 62.5), ("pytest/lcov.info", 62.5)])
@pytest.mark.parametrize("other", ["go/cobertura.xml", "go/lcov.info"])
def test_coverage_of_several_tools_is_added_up(tree, name, percent, other):
    shutil.copytree(SAMPLES, tree / "app" / "r")
    assert coverage_of(tree, f"r/{name}").coverage.percent == percent
    assert coverage_of(tree, f"r/{other}").coverage.percent == 54.55
    both = coverage_of(tree, f"r/{name}", f"r/{other}").coverage
    assert (both.covered, both.valid) == (5 + 6, 8 + 11)


def test_a_file_that_two_names_stand_for_counts_once(tree):
    put(tree, "r/a.xml", ONE.format("a"))
    (tree / "app" / "r" / "again.xml").symlink_to("a.xml")
    found = junit_of(tree, "r", "r/*.xml", "./r/a.xml", "r/a.xml")
    assert found.summary.total == 1
    assert [each.case_id for each in found.outcomes] == ["1"]


def test_a_name_with_the_marks_of_a_glob_is_first_a_name(tree):
    put(tree, "r[1].xml", ONE.format("a"))
    put(tree, "r1.xml", ONE.format("b") * 1)
    assert [each.case_id for each in junit_of(tree, "r[1].xml").outcomes] == ["1"]
    assert [each.case_id for each in junit_of(tree, "r[0-9].xml").outcomes] == ["2"]


def test_hidden_folders_and_other_peoples_packages_are_passed_over(tree):
    for name in (".git/x.xml", "node_modules/p/x.xml", ".cache/x.xml", "r/.x.xml"):
        put(tree, name, ONE.format("b"))
    put(tree, "r/x.xml", ONE.format("a"))
    assert [each.case_id for each in junit_of(tree, "**/*.xml").outcomes] == ["1"]
    assert [each.case_id for each in junit_of(tree, ".").outcomes] == ["1"]
    assert [each.case_id for each in junit_of(tree, ".cache/*.xml").outcomes] == ["2"]


def test_what_is_not_there_is_missing(tree):
    (tree / "app" / "empty").mkdir()
    put(tree, "there.xml", ONE.format("a"))
    found = junit_of(tree, "no.xml", "empty", "*.junit", "there.xml")
    assert (found.missing, found.faults, found.summary.total) == (("no.xml", "empty", "*.junit"), (), 1)


def test_good_and_bad_files_in_a_folder(tree):
    put(tree, "r/a.xml", ONE.format("a"))
    put(tree, "r/b.xml", ONE.format("b")[:-5])
    put(tree, "r/c.xml", b"")
    put(tree, "r/d.xml", "no report")
    put(tree, "r/e.xml", "<html/>")
    put(tree, "r/notes.txt", "no report")
    found = junit_of(tree, "r")
    assert [fault.split(": the ")[0] for fault in found.faults] == ["r/b.xml", "r/c.xml", "r/d.xml"]
    assert "r/c.xml: the report is empty" in found.faults[1]
    assert [each.case_id for each in found.outcomes] == ["1"]  # and nothing of the one that is cut off


BOMB = "<!DOCTYPE x [<!ENTITY a 'aaaa'>{}]><testsuite><testcase name='&z;'/></testsuite>".format(
    "".join(f"<!ENTITY {after} '{f'&{before};' * 10}'>" for before, after in zip("abcdefghi", "bcdefghiz", strict=True))
)
FILE = "<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/hostname'>]><testsuite><testcase name='&a;'/></testsuite>"
PARAMETER = "<!DOCTYPE x [<!ENTITY % a SYSTEM 'file:///etc/hostname'> %a;]><testsuite/>"


@pytest.mark.parametrize("text", [BOMB, FILE, PARAMETER], ids=["billion laughs", "external", "parameter"])
@pytest.mark.parametrize("read", [junit_of, coverage_of])
def test_entities_are_refused(tree, text, read):
    put(tree, "r.xml", text)
    [fault] = read(tree, "r.xml").faults
    assert "defines XML entities" in fault


@pytest.mark.parametrize("target", ["../../secret.xml", "/etc/hostname", "/proc/self/environ", "/dev/zero"])
@pytest.mark.parametrize("read", [junit_of, coverage_of])
def test_a_link_out_of_the_checkout_is_a_fault_of_the_spec(tree, target, read):
    (tree / "app" / "r").mkdir()
    (tree / "app" / "r" / "x.xml").symlink_to(target if target.startswith("/") else f"../{target}")
    for name in ("r/x.xml", "r/*.xml", "r", "**/x.xml"):
        with pytest.raises(TerminalError) as caught:
            read(tree, name)
        assert caught.value.code is ErrorCode.SPEC_INVALID
        assert "leads out of the repository" in caught.value.message
    (tree / "app" / "out").symlink_to("../..")
    with pytest.raises(TerminalError):
        read(tree, "out/*.xml")
    assert read(tree, "o*/secret.xml").missing == ("o*/secret.xml",)  # what is looked through is not gone out of


def test_a_link_of_the_build_inside_of_the_checkout_is_followed(tree):
    put(tree, "made/x.xml", ONE.format("a"))
    (tree / "app" / "r").symlink_to("/delivery/app/app/made")
    for name in ("r", "r/x.xml", "r/*.xml", "*/x.xml"):
        assert [each.case_id for each in junit_of(tree, name).outcomes] == ["1"], name


def test_a_link_to_itself_is_no_way(tree):
    (tree / "app" / "x.xml").symlink_to("x.xml")
    (tree / "app" / "loop").mkdir()
    (tree / "app" / "loop" / "again").symlink_to("..")
    with pytest.raises(TerminalError):
        junit_of(tree, "x.xml")
    assert junit_of(tree, "**/y.xml").missing == ("**/y.xml",)


@pytest.mark.parametrize("kind", ["fifo", "socket", "unreadable"])
@pytest.mark.parametrize("name", ["x.xml", "*.xml", "."])
def test_what_is_no_file_is_not_waited_for(tree, kind, name, monkeypatch):
    path = tree / "app" / "x.xml"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        monkeypatch.chdir(tree / "app")
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind("x.xml")
    else:
        put(tree, "x.xml", ONE.format("a"))
        monkeypatch.setattr(report_files.os, "open", refuse)
    [fault] = junit_of(tree, name).faults
    assert fault.startswith(("x.xml: the report cannot be opened: ", "x.xml: the report is no regular file"))


def refuse(*_: object) -> int:
    raise PermissionError(13, "Permission denied")


ENCODED = [
    ("utf-8", "<?xml version='1.0' encoding='utf-8'?>"),
    ("utf-8-sig", ""),
    ("utf-16", "<?xml version='1.0' encoding='utf-16'?>"),
    ("utf-16-le", "<?xml version='1.0' encoding='utf-16'?>"),
    ("iso-8859-1", "<?xml version='1.0' encoding='ISO-8859-1'?>"),
    ("cp1252", "\n<?xml version='1.0' encoding=\"windows-1252\"?>"),
    ("utf-8", "<?xml version='1.0' encoding='utf-16'?>"),  # as .NET's StringWriter says of what was saved as UTF-8
]


@pytest.mark.parametrize(("encoding", "head"), ENCODED)
def test_reports_in_other_encodings(tree, encoding, head):
    put(tree, "r.xml", f"{head}<testsuite><testcase name='\u00fc'/></testsuite>".encode(encoding))
    found = read_tests(str(tree), "app", ["r.xml"], {}, [["1", "\u00dc", None]])
    assert found.faults == ()
    assert [each.case_id for each in found.outcomes] == ["1"]


@pytest.mark.parametrize(
    "encoding", ["utf-7", "idna", "punycode", "unicode_escape", "zip", "rot13", "x-unknown", "cp037"]
)
def test_an_encoding_that_is_not_read_is_named(tree, encoding):
    put(tree, "r.xml", f"<?xml version='1.0' encoding='{encoding}'?><testsuite/>")
    [fault] = junit_of(tree, "r.xml").faults
    assert f"its encoding is {encoding}, which is not read; let the tool write UTF-8" in fault


def test_bytes_that_are_none_of_the_encoding_spoil_no_report(tree):
    put(
        tree, "r.xml", b"<testsuite><testcase name='a'><failure message='\xff\xfe\x1b[31m\x00'/></testcase></testsuite>"
    )
    found = junit_of(tree, "r.xml")
    assert (found.summary.failed, found.outcomes[0].status) == (1, "failed")


def test_sizes_and_counts_have_limits(tree, monkeypatch):
    big = tree / "app" / "big.xml"
    with big.open("wb") as file:
        file.truncate(33 << 20)
    [fault] = junit_of(tree, "big.xml").faults
    assert "big.xml: the report is larger than 32 MiB" in fault
    monkeypatch.setattr("activities.reports.MAX_TOGETHER", 100)
    for number in range(4):
        put(tree, f"r/{number}.xml", ONE.format("a"))
    assert "larger than" in junit_of(tree, "r").faults[0]
    monkeypatch.setattr(report_files, "MAX_FILES", 3)
    assert "stands for more than 3 reports" in junit_of(tree, "r").faults[0]
    monkeypatch.setattr(report_files, "MAX_ENTRIES", 3)
    assert "more than 3 files were looked at" in junit_of(tree, "**/*.xml").faults[0]


def test_folders_without_end_are_no_fault(tree):
    deep = tree / "app"
    for _ in range(200):
        deep /= "d"
    deep.mkdir(parents=True)
    assert junit_of(tree, "**/x.xml", "**/**/**/x.xml").missing == ("**/x.xml", "**/**/**/x.xml")


def test_marks_tell_what_was_written_again(tree):
    names = ["r.xml", "*.xml", "no.xml"]
    path, other = put(tree, "r.xml", ONE.format("a")), put(tree, "s.xml", ONE.format("b"))
    before = mark_reports(str(tree), "app", names)
    assert len(before) == 2
    path.chmod(0o600)
    found = junit_of(tree, "r.xml", "*.xml", before=before)
    assert (found.old, found.missing, found.summary) == (("r.xml", "s.xml"), ("r.xml", "*.xml"), None)
    other.write_text(ONE.format("bb"))
    found = junit_of(tree, "r.xml", "*.xml", before=before)
    assert (found.old, found.missing, found.summary.total) == (("r.xml",), ("r.xml",), 1)
    path.unlink()
    path.write_text(ONE.format("a"))
    os.utime(path, ns=(1, 1))
    assert junit_of(tree, "*.xml", before=before).summary.total == 2


def test_marks_of_what_cannot_be_looked_at_are_none(tree):
    (tree / "app" / "x.xml").symlink_to("/etc/passwd")
    assert mark_reports(str(tree), "app", ["x.xml", "../x", "gone/*"]) == {}


async def test_names_of_any_bytes_are_told_as_text(tree):
    limited = LimitedProcesses(("activities.reports",))
    name = os.fsencode(str(tree / "app")) + b"/\xff\n\x1b[31m.xml"
    with open(name, "wb") as file:  # noqa: ASYNC230, PTH123 - any bytes
        file.write(b"<testsuite>")
    limits = CostLimits(cpu_s=20, wall_s=60, memory_mb=256)
    before = await limited.call(mark_reports, str(tree), "app", ["*.xml"], limits=limits)
    found = await limited.call(read_tests, str(tree), "app", ["*.xml"], before, CASES, limits=limits)
    assert found.old == ("\ufffd\ufffd\ufffd[31m.xml",)
    found = await limited.call(read_tests, str(tree), "app", ["*.xml"], {}, CASES, limits=limits)
    assert found.faults[0].startswith("\ufffd\ufffd\ufffd[31m.xml: the JUnit report is not XML")
