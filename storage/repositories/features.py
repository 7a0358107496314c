"""Features of a requirement."""

from uuid import UUID

from sqlalchemy import exists, select

from domain.errors import ConflictError, NotFoundError
from storage.models import Build, Deployment, Feature
from storage.repositories.base import Page, PageRequest, Repository


class FeatureRepository(Repository[Feature]):
    """Features by requirement."""

    model = Feature
    noun = "feature"

    async def search(
        self, requirement_id: UUID, *, status: str | None, text: str | None, request: PageRequest
    ) -> Page[Feature]:
        """Features of a requirement by status, and by a part of their name."""
        statement = self.base().where(Feature.requirement_id == requirement_id)
        if status is not None:
            statement = statement.where(Feature.implementation_status == status)
        if text:
            statement = statement.where(Feature.name.icontains(text, autoescape=True))
        return await self.page(statement, request)

    async def get_unused(self, feature_id: UUID) -> Feature:
        """A feature that was never built or deployed, locked so that no build begins.

        Raises:
            NotFoundError: it does not exist, or not for this tenant.
            ConflictError: it has builds or deployments.
        """
        # The full lock, unlike `get`: inserts with a foreign key to this row wait until it is gone.
        row = await self.session.scalar(self.base().where(Feature.id == feature_id).with_for_update())
        if row is None:
            raise NotFoundError(f"{self.noun} {feature_id} does not exist")
        used = select(exists().where(Build.feature_id == row.id), exists().where(Deployment.feature_id == row.id))
        built, deployed = (await self.session.execute(used)).one()
        if built or deployed:
            raise ConflictError(
                "the feature has builds or deployments, whose record stays; it cannot be deleted any more",
                details={"builds": built, "deployments": deployed},
            )
        return row
