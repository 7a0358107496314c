"""Builds as clients read them; `build_records.py` writes them."""

from uuid import UUID

from domain.lifecycle import BuildStatus
from storage.models import Build
from storage.repositories.base import Page, PageRequest, Repository

BAD_BUILDS = (BuildStatus.FAILED, BuildStatus.CANCELLED)


class BuildRepository(Repository[Build]):
    """Builds by project and feature, and by their version in a project."""

    model = Build
    noun = "build"

    async def search(
        self,
        *,
        project_id: UUID | None = None,
        feature_id: UUID | None = None,
        status: str | None = None,
        version_tag: str | None = None,
        request: PageRequest,
    ) -> Page[Build]:
        """Builds of a project or a feature, by status and version; None: any."""
        wanted = {"project_id": project_id, "feature_id": feature_id, "status": status, "version_tag": version_tag}
        return await self.page(self.base().filter_by(**{k: v for k, v in wanted.items() if v is not None}), request)

    async def with_version(self, project_id: UUID, version_tag: str) -> Build | None:
        """The project's build of this version, unless it failed: then the version may be used again."""
        statement = self.base().where(
            Build.project_id == project_id, Build.version_tag == version_tag, Build.status.not_in(BAD_BUILDS)
        )
        return await self.session.scalar(statement)
