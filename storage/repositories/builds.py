"""Builds as clients read them; `build_records.py` writes them."""

from uuid import UUID

from domain.lifecycle import BuildStatus
from storage.models import Build
from storage.repositories.base import Page, PageRequest, Repository

BAD_BUILDS = (BuildStatus.FAILED, BuildStatus.CANCELLED)


class BuildRepository(Repository[Build]):
    """Builds by feature, and by their version in a project."""

    model = Build
    noun = "build"

    async def of_feature(self, feature_id: UUID, request: PageRequest) -> Page[Build]:
        return await self.page(self.base().where(Build.feature_id == feature_id), request)

    async def with_version(self, project_id: UUID, version_tag: str) -> Build | None:
        """The project's build of this version, unless it failed: then the tag may be used again."""
        statement = self.base().where(
            Build.project_id == project_id, Build.version_tag == version_tag, Build.status.not_in(BAD_BUILDS)
        )
        return await self.session.scalar(statement)
