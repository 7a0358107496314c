"""Dependencies named after what they grant: a route that takes one has been checked for it.

All are coroutines: FastAPI sends plain functions through a thread pool, which costs more than they do.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param

from api.auth.principal import Principal
from api.errors import UnauthenticatedError
from api.parts import AppParts
from domain.access import Scope

# Declared for the OpenAPI document; what they find is judged below, in the envelope.
bearer = HTTPBearer(scheme_name="BearerAuth", bearerFormat="JWT", auto_error=False)
api_key = APIKeyHeader(name="X-API-Key", scheme_name="ApiKeyAuth", auto_error=False)


async def authenticate(request: Request, parts: AppParts) -> Principal:
    """Who makes this request.

    Raises:
        UnauthenticatedError: nobody, or nobody we know.
    """
    given = request.headers.getlist("authorization")
    if not given:
        if "x-api-key" in request.headers:
            raise UnauthenticatedError(
                "API keys arrive with a later release; send an access token as 'Authorization: Bearer <token>'",
                token_was_given=False,
            )
        raise UnauthenticatedError(
            "no credentials; send an access token as 'Authorization: Bearer <token>'", token_was_given=False
        )
    scheme, token = get_authorization_scheme_param(given[0])
    if len(given) > 1 or scheme.lower() != "bearer" or not token:
        raise UnauthenticatedError("send one header 'Authorization: Bearer <token>'", token_was_given=True)
    return parts.verifier.verify(token)


Authenticated = Annotated[Principal, Depends(authenticate)]

# Which permissions (any one of them) each dependency below asks for: the documents say so.
GRANTED: dict[Callable[..., object], tuple[Scope, ...]] = {}


def _permitted(*any_of: Scope) -> Callable[[Principal], Awaitable[Principal]]:
    async def check(principal: Authenticated) -> Principal:
        principal.require(*any_of)
        return principal

    GRANTED[check] = any_of
    return check


OrganizationsRead = Annotated[Principal, Depends(_permitted(Scope.ORGANIZATIONS_READ))]
OrganizationsWrite = Annotated[Principal, Depends(_permitted(Scope.ORGANIZATIONS_WRITE))]
ProjectsRead = Annotated[Principal, Depends(_permitted(Scope.PROJECTS_READ))]
ProjectsWrite = Annotated[Principal, Depends(_permitted(Scope.PROJECTS_WRITE))]
ProjectsDelete = Annotated[Principal, Depends(_permitted(Scope.PROJECTS_DELETE))]
FeaturesRead = Annotated[Principal, Depends(_permitted(Scope.FEATURES_READ))]
FeaturesWrite = Annotated[Principal, Depends(_permitted(Scope.FEATURES_WRITE))]
FeaturesDelete = Annotated[Principal, Depends(_permitted(Scope.FEATURES_DELETE))]
TestsRead = Annotated[Principal, Depends(_permitted(Scope.TESTS_READ))]
TestsWrite = Annotated[Principal, Depends(_permitted(Scope.TESTS_WRITE))]
DeploymentsRead = Annotated[Principal, Depends(_permitted(Scope.DEPLOYMENTS_READ))]
DeploymentsWrite = Annotated[Principal, Depends(_permitted(Scope.DEPLOYMENTS_WRITE))]
DeploymentsApprove = Annotated[Principal, Depends(_permitted(Scope.DEPLOYMENTS_APPROVE))]
OperationsRead = Annotated[Principal, Depends(_permitted(Scope.OPERATIONS_READ, Scope.DEPLOYMENTS_READ))]
OperationsCancel = Annotated[Principal, Depends(_permitted(Scope.OPERATIONS_CANCEL, Scope.DEPLOYMENTS_WRITE))]
WebhooksRead = Annotated[Principal, Depends(_permitted(Scope.WEBHOOKS_READ))]
WebhooksWrite = Annotated[Principal, Depends(_permitted(Scope.WEBHOOKS_WRITE))]

documented_schemes = [Security(bearer), Security(api_key)]
