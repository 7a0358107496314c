"""Test cases of a feature, and their results."""

from uuid import UUID

from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.permissions import TestsRead, TestsWrite
from api.dependencies import State
from api.http.envelope import Envelope, PageEnvelope, reply, reply_page
from api.http.idempotency import Idempotent
from api.http.pagination import Search, SortedPage, WantedPage
from api.http.preconditions import Precondition
from api.routes import planning
from api.schemas.test_cases import CaseCreate, CasePatch, CaseView, ResultCreate, ResultView
from api.services import audited_writes
from api.services.projects.lookup import kept_project
from domain.planning import Priority
from domain.testing import ResultStatus, TestType, check_assertions, check_log_size, check_outcome, check_steps
from runtime.ids import new_id
from storage.engine import transaction
from storage.models import TestCase, TestResult
from storage.repositories.features import FeatureRepository
from storage.repositories.quality import CaseRepository, ResultRepository

router = APIRouter(tags=["Tests"])


@router.post(
    "/features/{feature_id}/tests", summary="Create a test case", status_code=201, response_model=Envelope[CaseView]
)
async def create_test_case(
    request: Request, principal: TestsWrite, command: Idempotent, feature_id: UUID, body: CaseCreate
) -> Response:
    """Describes how to test a feature, step by step. Step numbers begin at 1 and rise."""
    check_steps([step.step_number for step in body.steps])

    async def create(session: AsyncSession) -> Response:
        feature = await FeatureRepository(session, principal.tenant).get(feature_id)
        await kept_project(session, principal.tenant, feature.project_id)
        row = TestCase(
            id=new_id(),
            organization_id=feature.organization_id,
            project_id=feature.project_id,
            feature_id=feature.id,
            created_by=principal.subject,
            **body.model_dump(),
        )
        return await planning.create(request, session, row, CaseView, f"/testcases/{row.id}")

    return await command.run(create)


@router.get("/features/{feature_id}/tests", summary="List test cases", response_model=PageEnvelope[CaseView])
async def list_test_cases(
    *,
    request: Request,
    parts: State,
    principal: TestsRead,
    feature_id: UUID,
    page: SortedPage,
    test_type: TestType | None = None,
    priority: Priority | None = None,
    search: Search = None,
) -> Response:
    """The test cases of a feature."""
    async with transaction(parts.sessions) as session:
        await FeatureRepository(session, principal.tenant).get(feature_id)
        found = await CaseRepository(session, principal.tenant).search(
            feature_id, test_type=test_type, priority=priority, text=search, request=page
        )
    return reply_page(request, found, [CaseView.model_validate(row) for row in found.rows])


@router.get("/testcases/{testcase_id}", summary="Get a test case", response_model=Envelope[CaseView])
async def get_test_case(request: Request, parts: State, principal: TestsRead, testcase_id: UUID) -> Response:
    """A test case and its steps."""
    async with transaction(parts.sessions) as session:
        row = await CaseRepository(session, principal.tenant).get(testcase_id)
    return reply(request, CaseView.model_validate(row))


@router.patch("/testcases/{testcase_id}", summary="Change a test case", response_model=Envelope[CaseView])
async def change_test_case(
    *,
    request: Request,
    principal: TestsWrite,
    command: Idempotent,
    precondition: Precondition,
    testcase_id: UUID,
    body: CasePatch,
) -> Response:
    """Fields not given stay as they are; steps are replaced as a whole. Results stay with the test case."""
    if body.steps:
        check_steps([step.step_number for step in body.steps])

    async def carry_out(session: AsyncSession) -> Response:
        row = await CaseRepository(session, principal.tenant).get(testcase_id, lock=True)
        await planning.check_changeable(session, principal, row, CaseView, precondition)
        return await planning.change(request, session, row, body.changes(), CaseView)

    return await command.run(carry_out)


@router.delete("/testcases/{testcase_id}", summary="Delete a test case", status_code=204, response_class=Response)
async def delete_test_case(
    parts: State, principal: TestsWrite, precondition: Precondition, testcase_id: UUID
) -> Response:
    """Deletes the test case with all its results."""
    async with transaction(parts.sessions) as session:
        row = await CaseRepository(session, principal.tenant).get(testcase_id, lock=True)
        await planning.check_changeable(session, principal, row, CaseView, precondition)
        await audited_writes.remove(session, row)
    return Response(status_code=204)


@router.post(
    "/testcases/{testcase_id}/results",
    summary="Record a test result",
    status_code=201,
    response_model=Envelope[ResultView],
)
async def record_test_result(
    request: Request, principal: TestsWrite, command: Idempotent, testcase_id: UUID, body: ResultCreate
) -> Response:
    """Records one run. The number run is passed plus failed; logs are 64 KiB at most."""
    check_assertions(run=body.assertions_run, passed=body.assertions_passed, failed=body.assertions_failed)
    check_outcome(body.status, body.assertions_failed)
    check_log_size(body.log_bytes())

    async def create(session: AsyncSession) -> Response:
        case = await CaseRepository(session, principal.tenant).get(testcase_id)
        await kept_project(session, principal.tenant, case.project_id)
        row = TestResult(
            id=new_id(),
            organization_id=case.organization_id,
            test_case_id=case.id,
            recorded_by=principal.subject,
            **body.model_dump(),
        )
        return await planning.create(request, session, row, ResultView, f"/testcases/{case.id}/results/{row.id}")

    return await command.run(create)


@router.get("/testcases/{testcase_id}/results", summary="List test results", response_model=PageEnvelope[ResultView])
async def list_test_results(
    *,
    request: Request,
    parts: State,
    principal: TestsRead,
    testcase_id: UUID,
    page: WantedPage,
    status: ResultStatus | None = None,
) -> Response:
    """Newest first."""
    async with transaction(parts.sessions) as session:
        await CaseRepository(session, principal.tenant).get(testcase_id)
        found = await ResultRepository(session, principal.tenant).of_case(testcase_id, status=status, request=page)
    return reply_page(request, found, [ResultView.model_validate(row) for row in found.rows])


@router.get(
    "/testcases/{testcase_id}/results/{result_id}", summary="Get a test result", response_model=Envelope[ResultView]
)
async def get_test_result(
    request: Request, parts: State, principal: TestsRead, testcase_id: UUID, result_id: UUID
) -> Response:
    """A result and its logs."""
    async with transaction(parts.sessions) as session:
        row = await ResultRepository(session, principal.tenant).get_of_case(testcase_id, result_id)
    return reply(request, ResultView.model_validate(row))
