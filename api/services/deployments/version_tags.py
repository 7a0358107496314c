"""Version tags: one build of a project has one."""

from sqlalchemy.ext.asyncio import AsyncSession

from domain.errors import ConflictError, ErrorCode
from domain.lifecycle import FINISHED_BUILDS
from storage.models import Project
from storage.repositories.builds import BuildRepository
from storage.repositories.operations import OperationRepository
from storage.tenancy import Tenant


async def check_version_free(session: AsyncSession, tenant: Tenant, project: Project, tag: str) -> None:
    """Whether a version may be built or reported. A build that failed does not hold its tag.

    Raises:
        ConflictError: DUPLICATE_RESOURCE, the version exists or is being built; names the build or the operation.
    """
    build = await BuildRepository(session, tenant).with_version(project.id, tag)
    if build is not None and build.status in FINISHED_BUILDS:
        raise ConflictError(
            f"version {tag} is build {build.build_number} of this project already; "
            "choose another version_tag, or deploy that build",
            code=ErrorCode.DUPLICATE_RESOURCE,
            details={"build_id": str(build.id)},
        )
    running = await OperationRepository(session, tenant).building(project.id, tag)
    if running is not None:
        raise ConflictError(
            f"version {tag} is being built by operation {running.id}; wait for it or choose another version_tag",
            code=ErrorCode.DUPLICATE_RESOURCE,
            details={"operation_id": str(running.id)},
        )
