"""Build and test: other people's commands, run by a builder driver in the workspace."""

import asyncio
from collections.abc import Callable, Mapping
from typing import TypeVar
from uuid import UUID

from activities.build_slots import BuildSlots
from activities.failures import not_found, translate_errors
from activities.heartbeats import heartbeating
from activities.reports import read_cobertura, read_junit
from activities.workspaces import BuildFolders
from contracts.builds import RUN_BUILD, RUN_TESTS, BuildOutcome, RunBuild, RunTests, TestOutcome
from contracts.stubs import implements
from domain.ceilings import DEFAULT_CEILING, Ceiling
from domain.errors import ErrorCode, TerminalError
from domain.junit_reports import TestSummary
from drivers.builders.base import Builder, Limits, RunRequest, RunResult
from runtime.limited import CostLimitError, CostLimits, LimitedProcesses

REPORT_LIMITS = CostLimits(cpu_s=10, wall_s=60, memory_mb=512)

T = TypeVar("T")

REASONS: Mapping[str, tuple[ErrorCode, str]] = {
    "timeout": (ErrorCode.BUILD_TIMEOUT, "took longer than its timeout of {timeout:g} s and was ended"),
    "memory_limit": (ErrorCode.BUILD_MEMORY_LIMIT, "used more than {memory_mb} MiB of memory and was ended"),
    "process_limit": (
        ErrorCode.BUILD_PROCESS_LIMIT,
        "had more than {processes} processes and threads at once and was ended; start fewer in parallel",
    ),
    "disk_limit": (
        ErrorCode.BUILD_DISK_LIMIT,
        "took more than {disk_mb} MiB of disk (sources, workspace, HOME, TMPDIR) and was ended; leave less behind",
    ),
    "disk_full": (ErrorCode.DISK_FULL, "could not write: the disk of the data folder is full"),
}


class BuildActivities:
    """Drives a builder, in a build slot of the operation."""

    def __init__(
        self,
        select: Callable[[str], Builder],
        folders: BuildFolders,
        slots: BuildSlots,
        limited: LimitedProcesses,
        ceiling: Ceiling = DEFAULT_CEILING,
    ) -> None:
        self._select = select
        self._folders = folders
        self._slots = slots
        self._limited = limited
        self._ceiling = ceiling

    @implements(RUN_BUILD)
    @translate_errors
    async def build(self, request: RunBuild) -> BuildOutcome:
        spec = request.spec
        if not spec.steps:
            return BuildOutcome(duration_ms=0, steps_run=0)
        order = self._order(request, "build", spec.steps)
        result = await self._run(request.operation_id, self._select(spec.driver), order)
        if result.reason != "exited" or result.exit_code:
            raise failure(result, order, f"build step {_which(result, spec.steps)}", ErrorCode.BUILD_FAILED)
        return BuildOutcome(duration_ms=result.duration_ms, steps_run=len(spec.steps))

    @implements(RUN_TESTS)
    @translate_errors
    async def test(self, request: RunTests) -> TestOutcome:
        spec = request.spec
        steps = (spec.command,) if spec.command else ()
        order = self._order(request, "test", steps)
        result = await self._run(request.operation_id, self._select("auto"), order)
        if result.reason != "exited":
            raise failure(result, order, "the test command", ErrorCode.TESTS_FAILED)
        async with heartbeating():
            summary, coverage = await self.read_reports(request)
        _check_tests(result, order, summary)
        return TestOutcome(
            duration_ms=result.duration_ms,
            passed=summary.passed if summary else None,
            failed=summary.failed + summary.errors if summary else None,
            skipped=summary.skipped if summary else None,
            coverage_percent=coverage,
        )

    def _order(self, run: RunBuild | RunTests, step: str, steps: tuple[str, ...]) -> RunRequest:
        spec = run.spec
        most = self._ceiling.lowered(memory_mb=spec.memory_mb, processes=spec.processes, disk_mb=spec.disk_mb)
        return RunRequest(
            key=f"{run.operation_id}-{step}",
            workdir=self._folders.inside(run.operation_id, run.source_path),
            root=self._folders.inside(run.operation_id),
            state_dir=self._folders.state(run.operation_id, step),
            steps=steps,
            log_path=self._folders.log(run.operation_id, step),
            # Compilers that know it (Python's among them) then make the same bytes of the same commit.
            env={"SOURCE_DATE_EPOCH": str(self._folders.commit_time(run.operation_id)), **spec.env},
            limits=Limits(
                timeout_s=spec.timeout,
                memory_mb=most.memory_mb,
                processes=most.processes,
                disk_mb=most.disk_mb,
                cpus=most.cpus,
            ),
            disk=(self._folders.workspace(run.operation_id),),
            organization=self._folders.organization(run.operation_id),
            project=self._folders.project(run.operation_id),
        )

    async def _run(self, operation_id: UUID, builder: Builder, order: RunRequest) -> RunResult:
        organization = self._folders.organization(operation_id)
        async with heartbeating(), self._slots.working(operation_id, organization):
            return await builder.run(order)

    async def read_reports(self, request: RunTests) -> tuple[TestSummary | None, float | None]:
        """What the reports say that the spec names, in processes with limits; None: not there."""
        summary = await self._report(read_junit, request, request.spec.report)
        return summary, await self._report(read_cobertura, request, request.spec.coverage)

    async def _report(self, read: Callable[[str], T | None], request: RunTests, name: str | None) -> T | None:
        if name is None:
            return None
        path = await asyncio.to_thread(self._folders.inside, request.operation_id, request.source_path, name)
        try:
            return await self._limited.call(read, str(path), limits=REPORT_LIMITS)
        except CostLimitError as error:
            raise TerminalError(
                f"the report {name} cannot be read: {error}; look at `test` in delivery.yaml",
                code=ErrorCode.TEST_REPORT_INVALID,
            ) from None


def _which(result: RunResult, steps: tuple[str, ...]) -> str:
    if result.failed_step is None:
        return "?"
    return f"{result.failed_step + 1} of {len(steps)} ({steps[result.failed_step][:200]!r})"


def _check_tests(result: RunResult, order: RunRequest, summary: TestSummary | None) -> None:
    if summary and summary.first_failure:
        count = summary.failed + summary.errors
        raise TerminalError(
            f"{count} of {summary.total} tests failed; the first: {summary.first_failure}",
            code=ErrorCode.TESTS_FAILED,
            details={"tests_failed": count, "tests_passed": summary.passed, "log_tail": result.tail},
        )
    if result.exit_code:
        raise failure(result, order, "the test command", ErrorCode.TESTS_FAILED)


def failure(result: RunResult, order: RunRequest, what: str, code: ErrorCode) -> TerminalError:
    """The error of a run that did not end well, with the end of its output."""
    limits = order.limits
    known = REASONS.get(result.reason)
    if known:
        code, words = known
        how = words.format(
            timeout=limits.timeout_s,
            memory_mb=limits.memory_mb,
            processes=limits.processes,
            disk_mb=limits.disk_mb,
        )
    else:
        how = f"ended with exit code {result.exit_code}{not_found(result.exit_code, result.searched)}"
    return TerminalError(f"{what} {how}", code=code, details={"exit_code": result.exit_code, "log_tail": result.tail})
