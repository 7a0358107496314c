"""Dependencies named after the permission they check.

All are coroutines: FastAPI runs plain functions in a thread pool, which costs more than the check. None depends on
another: FastAPI resolves nested dependencies at every request, which also costs more than the check.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant

from api.auth.authentication import authenticate
from api.auth.principal import Principal
from domain.permissions import Scope

Authenticated = Annotated[Principal, Depends(authenticate)]

# The permissions (any one of them) that each dependency below requires; read for the OpenAPI document.
GRANTED: dict[Callable[..., object], tuple[Scope, ...]] = {}


def asks_who(dependant: Dependant) -> bool:
    """Whether a route requires authentication."""
    return any(
        below.call is authenticate or below.call in GRANTED or asks_who(below) for below in dependant.dependencies
    )


def _permitted(*any_of: Scope) -> Callable[[Request], Awaitable[Principal]]:
    async def check(request: Request) -> Principal:
        principal = await authenticate(request, request.app.state.parts)
        principal.require(*any_of)
        return principal

    GRANTED[check] = any_of
    return check


OrganizationsRead = Annotated[Principal, Depends(_permitted(Scope.ORGANIZATIONS_READ))]
OrganizationsAdmin = Annotated[Principal, Depends(_permitted(Scope.ORGANIZATIONS_ADMIN))]
OrganizationsWrite = Annotated[Principal, Depends(_permitted(Scope.ORGANIZATIONS_WRITE))]
ProjectsRead = Annotated[Principal, Depends(_permitted(Scope.PROJECTS_READ))]
ProjectsWrite = Annotated[Principal, Depends(_permitted(Scope.PROJECTS_WRITE))]
ProjectsDelete = Annotated[Principal, Depends(_permitted(Scope.PROJECTS_DELETE))]
ProjectsAdmin = Annotated[Principal, Depends(_permitted(Scope.PROJECTS_ADMIN))]
FeaturesRead = Annotated[Principal, Depends(_permitted(Scope.FEATURES_READ))]
FeaturesWrite = Annotated[Principal, Depends(_permitted(Scope.FEATURES_WRITE))]
FeaturesDelete = Annotated[Principal, Depends(_permitted(Scope.FEATURES_DELETE))]
TestsRead = Annotated[Principal, Depends(_permitted(Scope.TESTS_READ))]
TestsWrite = Annotated[Principal, Depends(_permitted(Scope.TESTS_WRITE))]
DeploymentsRead = Annotated[Principal, Depends(_permitted(Scope.DEPLOYMENTS_READ))]
DeploymentsWrite = Annotated[Principal, Depends(_permitted(Scope.DEPLOYMENTS_WRITE))]
DeploymentsApprove = Annotated[Principal, Depends(_permitted(Scope.DEPLOYMENTS_APPROVE))]
AuditRead = Annotated[Principal, Depends(_permitted(Scope.AUDIT_READ))]
OperationsRead = Annotated[Principal, Depends(_permitted(Scope.OPERATIONS_READ, Scope.DEPLOYMENTS_READ))]
OperationsCancel = Annotated[Principal, Depends(_permitted(Scope.OPERATIONS_CANCEL, Scope.DEPLOYMENTS_WRITE))]
ApiKeysRead = Annotated[Principal, Depends(_permitted(Scope.API_KEYS_READ))]
ApiKeysWrite = Annotated[Principal, Depends(_permitted(Scope.API_KEYS_WRITE))]
MetricsRead = Annotated[Principal, Depends(_permitted(Scope.METRICS_READ))]
WebhooksRead = Annotated[Principal, Depends(_permitted(Scope.WEBHOOKS_READ))]
WebhooksWrite = Annotated[Principal, Depends(_permitted(Scope.WEBHOOKS_WRITE))]
SecurityRead = Annotated[Principal, Depends(_permitted(Scope.SECURITY_READ))]
SecurityWrite = Annotated[Principal, Depends(_permitted(Scope.SECURITY_WRITE))]
