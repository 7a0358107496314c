"""Features of a requirement."""

from uuid import UUID

from storage.models import Feature
from storage.repositories.base import Page, PageRequest, Repository


class FeatureRepository(Repository[Feature]):
    """Features by requirement."""

    model = Feature
    noun = "feature"

    async def of_requirement(self, requirement_id: UUID, request: PageRequest) -> Page[Feature]:
        return await self.page(self.base().where(Feature.requirement_id == requirement_id), request)
