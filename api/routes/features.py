"""Features: create, get, list, change, status, delete."""

from uuid import UUID

from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.permissions import FeaturesDelete, FeaturesRead, FeaturesWrite
from api.dependencies import State
from api.http.envelope import Envelope, PageEnvelope, reply, reply_page
from api.http.errors import InvalidRequestError
from api.http.idempotency import Idempotent
from api.http.pagination import Search, SortedPage
from api.http.preconditions import Precondition
from api.routes import planning
from api.schemas.features import FeatureCreate, FeaturePatch, FeatureStatusChange, FeatureView
from api.services import audited_writes
from api.services.developers import check_developer
from api.services.projects.lookup import kept_project
from domain.planning import FEATURE_MOVES, FeatureStatus, check_move
from runtime.ids import new_id
from storage.engine import transaction
from storage.models import Feature
from storage.repositories.features import FeatureRepository
from storage.repositories.requirements import RequirementRepository

router = APIRouter(tags=["Features"])


@router.post(
    "/requirements/{requirement_id}/features",
    summary="Create a feature",
    status_code=201,
    response_model=Envelope[FeatureView],
)
async def create_feature(
    request: Request, principal: FeaturesWrite, command: Idempotent, requirement_id: UUID, body: FeatureCreate
) -> Response:
    """Creates a part of a requirement that can be built and deployed."""

    async def create(session: AsyncSession) -> Response:
        requirement = await RequirementRepository(session, principal.tenant).get(requirement_id)
        await kept_project(session, principal.tenant, requirement.project_id)
        await check_developer(session, requirement.organization_id, body.developer_id)
        row = Feature(
            id=new_id(),
            organization_id=requirement.organization_id,
            project_id=requirement.project_id,
            requirement_id=requirement.id,
            **body.model_dump(),
        )
        return await planning.create(request, session, row, FeatureView, f"/features/{row.id}")

    return await command.run(create)


@router.get(
    "/requirements/{requirement_id}/features", summary="List features", response_model=PageEnvelope[FeatureView]
)
async def list_features(
    *,
    request: Request,
    parts: State,
    principal: FeaturesRead,
    requirement_id: UUID,
    page: SortedPage,
    status: FeatureStatus | None = None,
    search: Search = None,
) -> Response:
    """The features of a requirement."""
    async with transaction(parts.sessions) as session:
        await RequirementRepository(session, principal.tenant).get(requirement_id)
        found = await FeatureRepository(session, principal.tenant).search(
            requirement_id, status=status, text=search, request=page
        )
    return reply_page(request, found, [FeatureView.model_validate(row) for row in found.rows])


@router.get("/features/{feature_id}", summary="Get a feature", response_model=Envelope[FeatureView])
async def get_feature(request: Request, parts: State, principal: FeaturesRead, feature_id: UUID) -> Response:
    """A feature and its implementation status."""
    async with transaction(parts.sessions) as session:
        row = await FeatureRepository(session, principal.tenant).get(feature_id)
    return reply(request, FeatureView.model_validate(row))


@router.patch("/features/{feature_id}", summary="Change a feature", response_model=Envelope[FeatureView])
async def change_feature(
    *,
    request: Request,
    principal: FeaturesWrite,
    command: Idempotent,
    precondition: Precondition,
    feature_id: UUID,
    body: FeaturePatch,
) -> Response:
    """Fields that are not given stay as they are."""

    async def carry_out(session: AsyncSession) -> Response:
        row = await FeatureRepository(session, principal.tenant).get(feature_id, lock=True)
        await planning.check_changeable(session, principal, row, FeatureView, precondition)
        await check_developer(session, row.organization_id, body.developer_id)
        return await planning.change(request, session, row, body.changes(), FeatureView)

    return await command.run(carry_out)


@router.delete("/features/{feature_id}", summary="Delete a feature", status_code=204, response_class=Response)
async def delete_feature(
    parts: State, principal: FeaturesDelete, precondition: Precondition, feature_id: UUID
) -> Response:
    """Deletes the feature and its test cases. A feature that was ever built or deployed cannot be deleted (409)."""
    async with transaction(parts.sessions) as session:
        row = await FeatureRepository(session, principal.tenant).get_unused(feature_id)
        await planning.check_changeable(session, principal, row, FeatureView, precondition)
        await audited_writes.remove(session, row)
    return Response(status_code=204)


@router.patch(
    "/features/{feature_id}/status", summary="Update a feature's status", response_model=Envelope[FeatureView]
)
async def change_feature_status(
    *,
    request: Request,
    principal: FeaturesWrite,
    command: Idempotent,
    precondition: Precondition,
    feature_id: UUID,
    body: FeatureStatusChange,
) -> Response:
    """Transitions follow `docs/states.md`; others are a 422. A blocked feature must have a reason, others have none."""
    _check_reason(body)

    async def change(session: AsyncSession) -> Response:
        row = await FeatureRepository(session, principal.tenant).get(feature_id, lock=True)
        await planning.check_changeable(session, principal, row, FeatureView, precondition)
        check_move(FEATURE_MOVES, FeatureStatus(row.implementation_status), body.status)
        values = {"implementation_status": body.status, "blocked_reason": body.blocked_reason}
        return await planning.change(request, session, row, values, FeatureView)

    return await command.run(change)


def _check_reason(body: FeatureStatusChange) -> None:
    blocked = body.status is FeatureStatus.BLOCKED
    if blocked and not (body.blocked_reason or "").strip():
        raise InvalidRequestError("blocked_reason", "is required when status is blocked", code="missing")
    if not blocked and body.blocked_reason is not None:
        raise InvalidRequestError("blocked_reason", "is only for status blocked", code="unexpected")
