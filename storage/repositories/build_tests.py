"""What the tests of a build came to: counts in its row, and results of the test cases of its feature."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from domain.case_results import CaseOutcome
from domain.foreign_text import storable
from domain.lifecycle import BuildStatus
from domain.testing import ResultStatus
from runtime.ids import new_id
from storage.models import Build, Operation, TestCase, TestResult
from storage.repositories.event_writer import EventWriter


@dataclass(frozen=True)
class TestCounts:
    """Of a whole run; None: no report says."""

    __test__ = False

    passed: int | None = None
    failed: int | None = None
    skipped: int | None = None
    coverage_percent: float | None = None


class BuildTestRepository:
    """Of the build that an operation makes (all tenants)."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def cases(self, operation_id: UUID, *, limit: int) -> list[tuple[UUID, str, str | None]]:
        """Id, name and script of the test cases of the build's feature, the oldest first."""
        statement = (
            select(TestCase.id, TestCase.name, TestCase.automation_script_path)
            .join(
                Build, (Build.feature_id == TestCase.feature_id) & (Build.organization_id == TestCase.organization_id)
            )
            .where(Build.operation_id == operation_id)
            .order_by(TestCase.created_at, TestCase.id)
            .limit(limit)
        )
        return [(case_id, name, script) for case_id, name, script in await self._session.execute(statement)]

    async def record(self, operation_id: UUID, counts: TestCounts, outcomes: Sequence[CaseOutcome]) -> int:
        """Write both, while the build is being made; returns how many test cases have a result of it.

        A test case has one result of a build. The last run of its tests counts; each outcome is an event, once.
        """
        build = await self._session.scalar(_running(operation_id))
        if build is None:  # its version is taken, or it is over
            return 0
        build.tests_passed, build.tests_failed = counts.passed, counts.failed
        build.tests_skipped, build.code_coverage_percent = counts.skipped, counts.coverage_percent
        operation = await self._session.get_one(Operation, operation_id)
        there = await self._locked(build, [UUID(outcome.case_id) for outcome in outcomes])
        known = {row.test_case_id: row for row in await self._session.scalars(_of(build))}
        told = []
        for outcome in outcomes:
            if (case_id := UUID(outcome.case_id)) in there:
                row, is_new = self._write(build, known.get(case_id), outcome, operation.requested_by)
                told += [row] if is_new else []
        await self._session.flush()
        events = EventWriter(self._session)
        for row in told:
            if row.test_case_id in known:  # of one that is new the database has told its defaults
                await self._session.refresh(row)
            await events.test_result(row, build.project_id)
        return len(there)

    def _write(self, build: Build, row: TestResult | None, outcome: CaseOutcome, by: str) -> tuple[TestResult, bool]:
        """The row, and whether it tells something new."""
        case_id, values = UUID(outcome.case_id), _values(outcome)
        if row is None:
            row = TestResult(
                id=new_id(),
                organization_id=build.organization_id,
                test_case_id=case_id,
                build_id=build.id,
                recorded_by=by,
                logs=[],
                **values,
            )
            self._session.add(row)
            return row, True
        is_new = row.status != outcome.status
        if any(getattr(row, name) != value for name, value in values.items()):
            for name, value in {**values, "executed_at": func.now()}.items():
                setattr(row, name, value)
        return row, is_new

    async def _locked(self, build: Build, ids: Sequence[UUID]) -> set[UUID]:
        """Those of the test cases that are still there: they are not deleted meanwhile."""
        if not ids:
            return set()
        statement = select(TestCase.id).where(
            TestCase.id.in_(ids),
            TestCase.feature_id == build.feature_id,
            TestCase.organization_id == build.organization_id,
        )
        locked = statement.order_by(TestCase.id).with_for_update(read=True, key_share=True)
        return set(await self._session.scalars(locked))


def _running(operation_id: UUID) -> Select[Build]:
    statement = select(Build).where(Build.operation_id == operation_id, Build.status == BuildStatus.RUNNING)
    return statement.with_for_update(key_share=True)


def _of(build: Build) -> Select[TestResult]:
    return select(TestResult).where(TestResult.build_id == build.id)


def _values(outcome: CaseOutcome) -> dict[str, Any]:
    skipped = outcome.status is ResultStatus.SKIPPED
    message = outcome.error_message
    return {
        "status": outcome.status,
        "duration_ms": outcome.duration_ms,
        "error_message": None if message is None else storable(message),
        "assertions_run": 0 if skipped else outcome.passed + outcome.failed,
        "assertions_passed": outcome.passed,
        "assertions_failed": outcome.failed,
    }
