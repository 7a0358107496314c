"""Build and test: other people's commands, run by a builder driver in the workspace."""

from collections.abc import Callable, Mapping
from uuid import UUID

from activities.build_slots import BuildSlots
from activities.failures import not_found, translate_errors
from activities.heartbeats import heartbeating
from activities.test_reports import TestReports, notice_of, run_of
from activities.workspaces import BuildFolders
from contracts.builds import RUN_BUILD, RUN_TESTS, BuildOutcome, RunBuild, RunTests, TestOutcome
from contracts.stubs import implements
from domain.ceilings import DEFAULT_CEILING, Ceiling
from domain.errors import ErrorCode, TerminalError
from domain.junit_reports import TestSummary
from domain.test_thresholds import Stop, stop_after_tests
from drivers.builders.base import Builder, Limits, RunRequest, RunResult

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
        reports: TestReports,
        ceiling: Ceiling = DEFAULT_CEILING,
    ) -> None:
        self._select = select
        self._folders = folders
        self._slots = slots
        self._reports = reports
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
            tests, coverage = await self._reports.read(request)
            attached = await self._reports.record(request.operation_id, tests, coverage)
        run = run_of(result.exit_code, tests, coverage)
        summary = tests.summary
        if stop := stop_after_tests(spec, run):
            raise _stopped(stop, result, order, summary)
        return TestOutcome(
            duration_ms=result.duration_ms,
            passed=summary.passed if summary else None,
            failed=run.failed if summary else None,
            skipped=summary.skipped if summary else None,
            coverage_percent=coverage.coverage.percent if coverage.coverage else None,
            detail=notice_of(tests, coverage, attached),
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


def _which(result: RunResult, steps: tuple[str, ...]) -> str:
    if result.failed_step is None:
        return "?"
    return f"{result.failed_step + 1} of {len(steps)} ({steps[result.failed_step][:200]!r})"


def _stopped(stop: Stop, result: RunResult, order: RunRequest, summary: TestSummary | None) -> TerminalError:
    """The error of a run after which the delivery goes no further."""
    counts = {"tests_failed": summary.failed + summary.errors, "tests_passed": summary.passed} if summary else {}
    if not stop.command:
        return TerminalError(stop.message, code=stop.code, details={**counts, "log_tail": result.tail})
    error = failure(result, order, "the test command", stop.code)
    return TerminalError(f"{error.message}{stop.message}", code=stop.code, details={**counts, **error.details})


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
