"""Reports of a test command, for a process with limits: found, opened and read there, since all of it is a stranger's.

What is wrong with a file is told beside what the others say; a missing report is no fault here: who fails early writes
none, and the thresholds know (`domain/test_thresholds.py`).
"""

import codecs
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from activities.report_files import Mark, ReportFile, ReportFiles
from domain.case_names import KnownCase
from domain.case_results import CaseOutcome, CaseResults
from domain.coverage_reports import Coverage, CoverageReports
from domain.errors import ErrorCode, TerminalError
from domain.foreign_text import REPLACEMENT, storable
from domain.junit_reports import TestSummary, parse_junit
from domain.report_xml import MAX_REPORT, OtherFormatError, invalid

MAX_TOGETHER = 2 * MAX_REPORT
MAX_TOLD = 10
MAX_NAME = 300
JUNIT_SUFFIXES = (".xml",)
COVERAGE_SUFFIXES = (".xml", ".info", ".lcov")
GOOD, OLD = "good", "old"
_CHUNK = 256 * 1024
_HEAD = 256
_DECLARED = re.compile(rb"""<\?xml[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_BARE = ((b"<\0", "utf-16-le"), (b"\0<", "utf-16-be"))
_ENCODINGS = ("utf-8", "iso8859-1", "iso8859-15", "cp1252")
# A file that can be read as ASCII so far is none of two bytes a character, whatever it says.
_SAID_FALSELY = ("ascii", "utf-16", "utf-16-le", "utf-16-be")

Marks = Mapping[str, Sequence[int]]


class ReadFiles(BaseModel):
    """What became of the files: names that are not there, and of each file that cannot be read the reason.

    `old`: files that are as they were in the commit: no run of this delivery has written them.
    """

    model_config = ConfigDict(frozen=True)

    missing: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    old: tuple[str, ...] = ()


class ReadTests(ReadFiles):
    """`left_out`: how many more test cases had results than are kept.

    `not_all_sought`: the feature has more test cases than are looked for.
    """

    summary: TestSummary | None = None
    outcomes: tuple[CaseOutcome, ...] = ()
    left_out: int = 0
    not_all_sought: bool = False


class ReadCoverage(ReadFiles):
    """None: there is no report that can be read."""

    coverage: Coverage | None = None


def read_tests(root: str, folder: str, names: Sequence[str], before: Marks, cases: Sequence[Any]) -> ReadTests:
    """All JUnit reports that names stand for, as one.

    Args:
        root: the checkout.
        folder: of the service in it, to which the names are relative.
        names: paths, folders and globs.
        before: the marks that `mark_reports` made of the commit.
        cases: test cases of the feature, as the fields of `KnownCase`.
    """
    results = CaseResults([KnownCase(*case) for case in cases])
    summaries: list[TestSummary] = []

    def read(chunks: Iterator[str]) -> None:
        try:
            summaries.append(parse_junit(chunks, results))
        except TerminalError:
            results.end_file(good=False)
            raise
        results.end_file(good=True)

    told = _read(ReportFiles(root, folder, JUNIT_SUFFIXES), names, before, read)
    summary = None
    for one in summaries:
        summary = one if summary is None else summary + one
    return ReadTests(**dict(told), summary=summary, outcomes=results.outcomes(), left_out=results.left_out)


def read_coverage(root: str, folder: str, names: Sequence[str], before: Marks) -> ReadCoverage:
    """All coverage reports that names stand for, as one; arguments as for `read_tests`."""
    reports = CoverageReports()
    told = _read(ReportFiles(root, folder, COVERAGE_SUFFIXES), names, before, reports.read)
    return ReadCoverage(**dict(told), coverage=reports.together())


def mark_reports(root: str, folder: str, names: Sequence[str]) -> dict[str, tuple[int, int, int]]:
    """Marks of the files that names stand for in a commit: whoever writes them changes the mark."""
    files = ReportFiles(root, folder, COVERAGE_SUFFIXES)
    marks = {file.path: files.mark(file.path) for name in names for file in _there(files, name)}
    return {_key(path): (mark.inode, mark.mtime_ns, mark.size) for path, mark in marks.items() if mark is not None}


def _there(files: ReportFiles, name: str) -> list[ReportFile]:
    try:
        return files.find([name])[name]
    except TerminalError:  # it is told when it is read, if it is still so then
        return []


def _read(files: ReportFiles, names: Sequence[str], before: Marks, read: Callable[[Iterator[str]], None]) -> ReadFiles:
    try:
        found = files.find(names)
    except TerminalError as error:
        if error.code is ErrorCode.SPEC_INVALID:
            raise
        return ReadFiles(faults=(storable(error.message),))
    became: dict[str, str | TerminalError] = {}  # by path: what the file was, or why it cannot be read
    room = MAX_TOGETHER
    for file in (file for each in found.values() for file in each if file.path not in became):
        if _is_old(files, file, before):
            became[file.path] = OLD
            continue
        try:
            room -= _read_one(files, file, room, read)
            became[file.path] = GOOD
        except TerminalError as error:
            became[file.path] = error
    return _told(found, became)


def _told(found: Mapping[str, Sequence[ReportFile]], became: Mapping[str, str | TerminalError]) -> ReadFiles:
    """What a folder or glob finds of other kinds is passed over, unless there is nothing else."""
    missing, faults, old = [], dict[str, None](), dict[str, None]()
    for name, files in found.items():
        ends = [(file, became[file.path]) for file in files]
        others = [(file, end) for file, end in ends if file.picked and isinstance(end, OtherFormatError)]
        broken = [(file, end) for file, end in ends if isinstance(end, TerminalError) and (file, end) not in others]
        good = any(end == GOOD for _, end in ends)
        told = broken or ([] if good else others[:1])
        faults.update(dict.fromkeys(_of(file, end) for file, end in told if isinstance(end, TerminalError)))
        old.update(dict.fromkeys(_shown(file) for file, end in ends if end == OLD))
        if not good and not told:
            missing.append(name)
    return ReadFiles(missing=tuple(missing), faults=tuple(faults)[:MAX_TOLD], old=tuple(old)[:MAX_TOLD])


def _is_old(files: ReportFiles, file: ReportFile, before: Marks) -> bool:
    mark = files.mark(file.path)
    known = before.get(_key(file.path))
    return known is not None and Mark(*known) == mark


def _key(path: str) -> str:
    """Of one length, and of characters that JSON has: names of files are any bytes."""
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:32]


def _of(file: ReportFile, error: TerminalError) -> str:
    return f"{_shown(file)}: {storable(error.message)}"


def _shown(file: ReportFile) -> str:
    return "".join(each if each.isprintable() else REPLACEMENT for each in file.name[:MAX_NAME])


def _read_one(files: ReportFiles, file: ReportFile, room: int, read: Callable[[Iterator[str]], None]) -> int:
    """Read a file; returns its size in bytes."""
    with os.fdopen(files.open(file), "rb") as opened:
        size = os.fstat(opened.fileno()).st_size
        if size > MAX_REPORT:
            raise invalid(f"the report is larger than {MAX_REPORT >> 20} MiB")
        if size > room:
            raise invalid(f"the reports are larger than {MAX_TOGETHER >> 20} MiB together")
        if size == 0:
            raise invalid("the report is empty")
        head = opened.read(_HEAD)
        opened.seek(0)
        decoder = codecs.getincrementaldecoder(_encoding(head))(errors="replace")
        chunks = iter(lambda: opened.read(_CHUNK), b"")
        read(decoder.decode(chunk) for chunk in chunks)
    return size


def _encoding(head: bytes) -> str:
    """By its mark, else by its own word, else UTF-8. What a file does not hold to becomes U+FFFD.

    Raises:
        TerminalError: TEST_REPORT_INVALID, it names one that is not read.
    """
    for mark, name in (*_MARKS, *_BARE):
        if head.startswith(mark):
            return name
    declared = _DECLARED.match(head.lstrip())
    if declared is None:
        return "utf-8"
    said = declared.group(1).decode("ascii")
    try:
        name = codecs.lookup(said).name
    except LookupError:
        name = ""
    if name in _SAID_FALSELY:
        return "utf-8"
    if name not in _ENCODINGS:
        raise invalid(f"the report says that its encoding is {said}, which is not read; let the tool write UTF-8")
    return name
