"""The application: its parts, its routes, what stands around them."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from fastapi import Depends, FastAPI

from api import docs, errors
from api.auth.permissions import authenticate, documented_schemes
from api.auth.tokens import TokenVerifier
from api.envelope import ErrorEnvelope
from api.guards import AddressGuard, HeadAsGet, known_query
from api.health import Health
from api.learning import Learned
from api.middleware import BodyGuard, Overload, RequestContext
from api.openapi import about, served
from api.parts import Parts
from api.ports import OperationsPort
from api.progress import ProgressReader
from api.reading import DeploymentReader
from api.retired import RetiredVersions
from api.routes import (
    builds,
    decisions,
    deliveries,
    deployments,
    environments,
    features,
    health,
    operations,
    organizations,
    project_removal,
    projects,
    requirements,
    tests,
    webhook_deliveries,
    webhooks,
)
from api.version import PREFIX
from api.versioning import DeprecationHeaders, mark
from api.watching import Watch
from orchestration.operations import Operations
from runtime.keys import load_public_keys
from runtime.sealing import load_sealer
from runtime.settings import Settings
from storage.engine import create_engine, create_sessions

# What is polled comes first: routes are looked through in this order, at every request.
ROUTERS = (
    operations.router,
    deployments.router,
    organizations.router,
    projects.router,
    project_removal.router,
    requirements.router,
    features.router,
    tests.router,
    builds.router,
    deliveries.router,
    decisions.router,
    environments.router,
    webhooks.router,
    webhook_deliveries.router,
)
# Which of its errors an operation can give is told by `api.openapi.responses`; this makes their model known.
ERRORS: dict[int | str, dict[str, Any]] = {"default": {"model": ErrorEnvelope}}


def create_app(
    settings: Settings,
    *,
    make_operations: Callable[[Settings], OperationsPort] = Operations,
    load_keys: Callable[[Settings], Mapping[str, RSAPublicKey]] = load_public_keys,
) -> FastAPI:
    """The whole API.

    Args:
        settings: of this process.
        make_operations: how Temporal is reached; connected at first use.
        load_keys: public keys that tokens may be signed with, by key id.
    """
    app = FastAPI(
        title=about.TITLE,
        openapi_url=docs.OPENAPI,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan(settings, make_operations, load_keys),
    )
    mark(*ROUTERS)
    guarded = [*documented_schemes, Depends(known_query)]
    for router in ROUTERS:
        app.include_router(router, prefix=PREFIX, dependencies=guarded, responses=ERRORS)
    app.include_router(health.router)
    app.include_router(health.router, prefix=PREFIX, include_in_schema=False)
    docs.install(app)
    served.install(app)
    errors.install(app, authenticate)
    app.add_middleware(BodyGuard)
    app.add_middleware(Overload)
    app.add_middleware(AddressGuard)
    app.add_middleware(RetiredVersions)
    app.add_middleware(DeprecationHeaders, settings=settings)
    app.add_middleware(HeadAsGet)
    app.add_middleware(RequestContext)
    return app


def _lifespan(
    settings: Settings,
    make_operations: Callable[[Settings], OperationsPort],
    load_keys: Callable[[Settings], Mapping[str, RSAPublicKey]],
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engine = create_engine(settings.database_url.get_secret_value(), application_name="delivery-api")
        sessions = create_sessions(engine)
        reach = make_operations(settings)
        progress = ProgressReader(reach, Learned(sessions))
        app.state.parts = Parts(
            settings=settings,
            sessions=sessions,
            operations=reach,
            progress=progress,
            watch=Watch(sessions, progress),
            deployments=DeploymentReader(sessions),
            verifier=TokenVerifier(load_keys(settings), issuer=settings.jwt_issuer, audience=settings.jwt_audience),
            health=Health(settings, engine, reach),
            sealer=load_sealer(settings),
        )
        try:
            yield
        finally:
            await engine.dispose()

    return lifespan
