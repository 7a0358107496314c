"""Builds made elsewhere: their row, numbered like those that we make."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.principal import Principal
from api.schemas.builds import BuildReport
from api.services import audited_writes
from api.services.deployments.version_tags import check_version_free
from api.services.projects.lookup import active_project
from domain.lifecycle import BuildProvenance
from runtime.ids import new_id
from storage.models import Build
from storage.repositories.build_records import BuildRecordRepository
from storage.repositories.features import FeatureRepository


async def record_report(session: AsyncSession, principal: Principal, feature_id: UUID, body: BuildReport) -> Build:
    """Write the row, in the caller's transaction.

    Raises:
        NotFoundError: no such feature.
        ConflictError: DUPLICATE_RESOURCE, the project has this version or is building it; INVALID_STATE, the project
            is not active.
    """
    feature = await FeatureRepository(session, principal.tenant).get(feature_id)
    project = await active_project(session, principal.tenant, feature.project_id)
    await check_version_free(session, principal.tenant, project, body.version_tag)
    values = {
        "organization_id": project.organization_id,
        "project_id": project.id,
        "feature_id": feature.id,
        "provenance": BuildProvenance.REPORTED,
        "status": body.status,
        **body.model_dump(),
    }
    row = await BuildRecordRepository(session).record(new_id(), None, values)
    await audited_writes.added(session, row, action="reported")
    return row
