"""How a version is reached before it has any traffic."""

from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.principal import Principal
from api.schemas.deployments import PreviewView
from domain.lifecycle import FINISHED_DEPLOYMENTS
from domain.permissions import Scope
from domain.routing import PREVIEW_HEADER
from runtime.settings import Settings
from storage.models import Deployment
from storage.repositories.deployments import DeploymentRepository
from storage.repositories.environments import EnvironmentRepository


def may_have_preview(principal: Principal, deployment: Deployment) -> bool:
    """Whether there can be a preview for this caller: while it is unfinished, for who may deploy."""
    return deployment.status not in FINISHED_DEPLOYMENTS and principal.may(Scope.DEPLOYMENTS_WRITE)


async def preview_of(
    session: AsyncSession, settings: Settings, principal: Principal, deployment: Deployment
) -> PreviewView | None:
    """The preview of an unfinished deployment, for who may deploy; None when there is none."""
    if not may_have_preview(principal, deployment):
        return None
    token = await DeploymentRepository(session, principal.tenant).preview_token(deployment.id)
    if token is None:
        return None
    environment = await EnvironmentRepository(session, principal.tenant).get(deployment.environment_id)
    return PreviewView(header=PREVIEW_HEADER, token=token, url=settings.service_url(environment.host))
