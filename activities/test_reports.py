"""The reports of a build's tests: read after the command, and their results written to the feature's test cases."""

import asyncio
import json
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any, TypeVar
from uuid import UUID

from activities.reports import ReadCoverage, ReadFiles, ReadTests, mark_reports, read_coverage, read_tests
from activities.workspaces import BuildFolders
from contracts.builds import RunTests
from domain.case_results import MAX_RESULTS
from domain.delivery_spec import ReportPaths, TestSpec
from domain.errors import TerminalError
from domain.foreign_text import storable
from domain.test_thresholds import TestRun
from runtime.files import write_whole
from runtime.limited import CostLimitError, CostLimits, LimitedProcesses
from storage.engine import Sessions, transaction
from storage.repositories.build_tests import BuildTestRepository, TestCounts

REPORT_LIMITS = CostLimits(cpu_s=30, wall_s=180, memory_mb=512)
MAX_CASES = 5_000
MAX_NOTICE = 2_000
_MARKS = "reports.json"

T = TypeVar("T", bound=ReadFiles)


class TestReports:
    """Reads reports in processes with limits. `sessions`: where results are written; None: nowhere."""

    __test__ = False

    def __init__(self, folders: BuildFolders, limited: LimitedProcesses, sessions: Sessions | None = None) -> None:
        self._folders = folders
        self._limited = limited
        self._sessions = sessions

    async def mark(self, operation_id: UUID, folder: str, spec: TestSpec) -> None:
        """Remember which reports came with the commit: what no command writes anew is no result of it."""
        names = (*_names(spec.report), *_names(spec.coverage))
        marks: dict[str, Any] = {}
        if names:
            root = str(self._folders.tree(operation_id))
            try:
                marks = await self._limited.call(mark_reports, root, folder, names, limits=REPORT_LIMITS)
            except (CostLimitError, TerminalError):  # it is told when the reports are read, if it is still so then
                marks = {}
        await asyncio.to_thread(write_whole, self._marks(operation_id), json.dumps(marks), sync=False)

    async def read(self, request: RunTests) -> tuple[ReadTests, ReadCoverage]:
        """What the reports say that the spec names.

        Raises:
            TerminalError: SPEC_INVALID, a name leads out of the checkout.
        """
        spec, before = request.spec, await asyncio.to_thread(self._before, request.operation_id)
        tests, coverage = ReadTests(), ReadCoverage()
        if names := _names(spec.report):
            cases = await self._cases(request.operation_id)
            tests = await self._call(read_tests, ReadTests, request, names, before, cases[:MAX_CASES])
            tests = tests.model_copy(update={"not_all_sought": len(cases) > MAX_CASES})
        if names := _names(spec.coverage):
            coverage = await self._call(read_coverage, ReadCoverage, request, names, before)
        return tests, coverage

    async def record(self, operation_id: UUID, tests: ReadTests, coverage: ReadCoverage) -> int:
        """Write counts to the operation's build, results to test cases; returns how many results there are."""
        if self._sessions is None:
            return 0
        summary, covered = tests.summary, coverage.coverage
        counts = TestCounts(
            passed=summary.passed if summary else None,
            failed=summary.failed + summary.errors if summary else None,
            skipped=summary.skipped if summary else None,
            coverage_percent=covered.percent if covered else None,
        )
        async with transaction(self._sessions) as session:
            return await BuildTestRepository(session).record(operation_id, counts, tests.outcomes)

    async def _cases(self, operation_id: UUID) -> list[tuple[str, str, str | None]]:
        """One more than are looked for, where there are more."""
        if self._sessions is None:
            return []
        async with transaction(self._sessions) as session:
            found = await BuildTestRepository(session).cases(operation_id, limit=MAX_CASES + 1)
        return [(str(case_id), name, script) for case_id, name, script in found]

    async def _call(
        self, read: Callable[..., T], empty: type[T], request: RunTests, names: tuple[str, ...], *more: Any
    ) -> T:
        root = str(self._folders.tree(request.operation_id))
        try:
            return await self._limited.call(read, root, request.source_path, names, *more, limits=REPORT_LIMITS)
        except CostLimitError as error:
            shown = ", ".join(name[:100] for name in names[:3])
            return empty(faults=(f"the report {shown} cannot be read: {error}",))

    def _marks(self, operation_id: UUID) -> Any:
        return self._folders.workspace(operation_id) / _MARKS

    def _before(self, operation_id: UUID) -> dict[str, list[int]]:
        try:
            known: dict[str, list[int]] = json.loads(self._marks(operation_id).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):  # a workspace of an older engine
            return {}
        return known


def run_of(exit_code: int, tests: ReadTests, coverage: ReadCoverage) -> TestRun:
    """A run and what was read of it, for the thresholds."""
    return TestRun(
        exit_code=exit_code,
        tests=tests.summary,
        coverage=coverage.coverage,
        missing_tests=tests.missing,
        missing_coverage=coverage.missing,
        test_faults=tests.faults,
        coverage_faults=coverage.faults,
    )


def notice_of(tests: ReadTests, coverage: ReadCoverage, attached: int) -> str | None:
    """What people must know of the reports of a run that went well; None: nothing."""
    old = tuple(dict.fromkeys((*tests.old, *coverage.old)))
    missing = tuple(dict.fromkeys((*tests.missing, *coverage.missing)))
    told = []
    if attached:
        more = f"; of {tests.left_out} more there is no room ({MAX_RESULTS} a build)" if tests.left_out else ""
        told.append(f"results of {attached} test case{'s' * (attached > 1)} of the feature{more}")
    if tests.not_all_sought:
        told.append(f"the feature has more than {MAX_CASES} test cases: only the oldest {MAX_CASES} were looked for")
    if missing:
        told.append(f"not written: {', '.join(missing)}")
    if old:
        told.append(f"left out, since the commit has them and no command wrote them again: {', '.join(old)}")
    return storable(". ".join(told))[:MAX_NOTICE] or None


def _names(paths: ReportPaths | None) -> tuple[str, ...]:
    """Each once, in the order of the spec."""
    given = (paths,) if isinstance(paths, str) else tuple(paths or ())
    return tuple(dict.fromkeys(str(PurePosixPath(name)) for name in given))
