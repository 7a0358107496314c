"""The application: its parts, its routes, its middleware."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cache
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from starlette.routing import BaseRoute

from api.auth.api_key_cache import ApiKeyCache
from api.auth.authentication import authenticate
from api.auth.external_issuer import OutsideIssuer
from api.auth.key_uses import KeyUses
from api.auth.permissions import asks_who
from api.auth.refresh import TrustWatch
from api.auth.revocation_list import Refused
from api.auth.signing_keys import SigningKeys
from api.auth.tokens import TokenVerifier
from api.dependencies import AppState
from api.http import docs_pages, errors
from api.http.client_ip import Addresses
from api.http.concurrency_limits import AllPlaces
from api.http.deprecation import DeprecationHeaders, mark
from api.http.envelope import ErrorEnvelope
from api.http.fast_routes import shortcuts
from api.http.metering import Metering
from api.http.middleware import BodyGuard, Overload, RequestContext
from api.http.request_guards import AddressGuard, HeadAsGet, known_query, plain_query
from api.http.retired_versions import RetiredVersions
from api.http.security_headers import SecurityHeaders
from api.lifespan import listen, running
from api.oauth import authorize, invited, token_endpoints
from api.oauth.keystore import KeyStore
from api.oauth.parts import OAuthParts
from api.oauth.throttle import StoredThrottle
from api.openapi import about, served
from api.operations_port import OperationsPort
from api.rate_limits.middleware import RateLimits
from api.rate_limits.plans import Plans
from api.rate_limits.rates import Rates
from api.rate_limits.sensitive_limits import OwnLimits
from api.routes import (
    api_keys,
    applications,
    attestation_keys,
    audit_log,
    build_documents,
    builds,
    codec,
    deliveries,
    delivery_metrics,
    deployment_actions,
    deployments,
    environments,
    features,
    health,
    instance_logs,
    invitations,
    members,
    metrics,
    operations,
    organizations,
    project_removal,
    projects,
    requirements,
    roles,
    secrets,
    service_accounts,
    test_cases,
    timelines,
    users,
    vulnerabilities,
    webhook_deliveries,
    webhooks,
)
from api.services.deployments.cached_reader import DeploymentReader
from api.services.health import Health
from api.services.logs.parts import Logs
from api.services.metrics import MetricsReader
from api.services.operations.eta import Learned
from api.services.operations.progress import ProgressReader
from api.services.operations.watch import Watch
from api.version import PREFIX
from orchestration.operations import Operations
from runtime.encryption import load_sealer
from runtime.exposition import Exposition
from runtime.internal_port import internal_port
from runtime.limiting.limiter import make_limiter
from runtime.meter import Meter
from runtime.metrics_flush import MetricsFlush
from runtime.otlp import collector_of
from runtime.passwords import Passwords
from runtime.reconciler import running as reconciling
from runtime.settings import Settings
from runtime.telemetry import telemetry
from storage.engine import Sessions, autocommitting, create_engine, create_sessions
from storage.listen import Listener
from storage.metrics_store import MetricsStore
from storage.query_meter import meter_queries
from storage.repositories import api_keys as keys_of_organizations
from storage.repositories import revocations

# Polled routes come first: routes are matched in this order, at every request.
ROUTERS = (
    operations.router,
    deployments.router,
    organizations.router,
    projects.router,
    project_removal.router,
    requirements.router,
    features.router,
    test_cases.router,
    builds.router,
    build_documents.router,
    vulnerabilities.router,
    deliveries.router,
    deployment_actions.router,
    instance_logs.router,
    timelines.router,
    environments.router,
    members.router,
    invitations.router,
    service_accounts.router,
    applications.router,
    users.router,
    roles.router,
    api_keys.router,
    audit_log.router,
    secrets.router,
    webhooks.router,
    webhook_deliveries.router,
    metrics.router,
    delivery_metrics.router,
)
# These have a faster path (see `api.http.fast_routes`).
POLLED = (operations.get_operation, deployments.get_deployment)
# Open to unauthenticated callers.
OPEN_ROUTERS = (invitations.open_router,)
# `api.openapi.responses` lists the errors of each operation; this registers their model.
ERRORS: dict[int | str, dict[str, Any]] = {"default": {"model": ErrorEnvelope}}


def create_app(
    settings: Settings,
    *,
    make_operations: Callable[[Settings], OperationsPort] = Operations,
) -> FastAPI:
    """The whole API.

    Args:
        settings: of this process.
        make_operations: creates the Temporal client; connected at first use.
    """
    meter = Meter(settings.slow_query_ms)
    app = FastAPI(
        title=about.TITLE,
        openapi_url=None,  # served by `api.openapi.served`
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan(settings, make_operations, meter),
        # Requests are traced by api/http/request_traces.py, and only if traces are exported.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.router.routes.extend(_routes())
    docs_pages.install(app)
    served.install(app)
    errors.install(app, authenticate, asks_who)
    addresses = Addresses(settings.trusted_proxies)
    app.add_middleware(BodyGuard, addresses=addresses, per_caller=settings.bodies_per_caller)
    app.add_middleware(
        Overload,
        addresses=addresses,
        per_caller=settings.requests_per_caller,
        per_organization=settings.requests_per_organization,
    )
    app.add_middleware(AddressGuard)
    app.add_middleware(RetiredVersions)
    if settings.rate_limits:
        app.add_middleware(RateLimits)
    app.add_middleware(DeprecationHeaders, settings=settings)
    app.add_middleware(HeadAsGet)
    if origins := settings.temporal_codec_origins.replace(",", " ").split():
        app.add_middleware(codec.CodecCors, origins=origins)
    app.add_middleware(RequestContext, addresses=addresses)
    if collector_of(settings).traces:
        from api.http.request_traces import RequestTraces  # noqa: PLC0415 - half a second of imports, for who asks for traces only

        app.add_middleware(RequestTraces)
    app.add_middleware(SecurityHeaders, https=settings.base_url.startswith("https://"))
    app.add_middleware(Metering, meter=meter)
    return app


@cache
def _routes() -> tuple[BaseRoute, ...]:
    """Routes shared by all applications of a process.

    FastAPI analyses a route's parameters and responses at its first request; for all of them that takes a second.
    """
    mark(*ROUTERS, *OPEN_ROUTERS)
    whole = APIRouter()
    for router in ROUTERS:
        whole.include_router(router, prefix=PREFIX, dependencies=[Depends(known_query)], responses=ERRORS)
    for router in OPEN_ROUTERS:
        whole.include_router(router, prefix=PREFIX, dependencies=[Depends(plain_query)], responses=ERRORS)
    whole.include_router(health.router)
    whole.include_router(health.router, prefix=PREFIX, include_in_schema=False)
    whole.include_router(codec.router, dependencies=[Depends(known_query)])
    whole.include_router(attestation_keys.router, dependencies=[Depends(plain_query)])
    whole.include_router(token_endpoints.router)
    whole.include_router(authorize.router)
    whole.include_router(invited.router)
    return (*shortcuts(POLLED, ROUTERS, PREFIX), *whole.routes)


def _lifespan(
    settings: Settings,
    make_operations: Callable[[Settings], OperationsPort],
    meter: Meter,
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engine = create_engine(settings.database_url.get_secret_value(), application_name="delivery-api")
        meter_queries(engine, meter)
        sessions, reads = create_sessions(engine), autocommitting(engine)
        reach = make_operations(settings)
        progress = ProgressReader(reach, Learned(create_sessions(reads)))
        keys, key_uses, plans = ApiKeyCache(sessions), KeyUses(sessions), Plans(sessions)
        addresses, limiter = Addresses(settings.trusted_proxies), make_limiter(settings)
        listener = Listener(settings.database_url.get_secret_value(), keys_of_organizations.CHANNEL)
        followers = Watch(create_sessions(reads), progress)
        oauth, watch = _trust(settings, sessions, OwnLimits(limiter, addresses))
        app.state.parts = AppState(
            settings=settings,
            sessions=sessions,
            operations=reach,
            progress=progress,
            watch=followers,
            deployments=DeploymentReader(reads),
            keys=keys,
            key_uses=key_uses,
            addresses=addresses,
            limiter=limiter,
            rates=Rates(settings, limiter, plans, addresses),
            places=AllPlaces(settings),
            verifier=oauth.verifier,
            health=Health(settings, engine, reach, limiter, access_is_stale=lambda: watch.is_stale),
            logs=Logs.of(settings, create_sessions(reads), followers, oauth.sealer),
            meter=meter,
            metrics=MetricsReader(sessions),
            sealer=oauth.sealer,
            passwords=oauth.passwords,
            oauth=oauth,
        )
        flush = MetricsFlush(MetricsStore(sessions), meter)
        await watch.start()
        try:
            async with (
                telemetry(settings, service="api"),
                reconciling(flush),
                internal_port(
                    settings.internal_host,
                    settings.api_internal_port,
                    Exposition("api", meter, flush),
                    several=settings.api_processes,
                ),
                running(keys.watch(), key_uses.run(), listen(listener, keys.forget, plans.forget)),
            ):
                yield
        finally:
            await limiter.close()
            await watch.stop()
            await engine.dispose()

    return lifespan


def _trust(settings: Settings, sessions: Sessions, limits: OwnLimits) -> tuple[OAuthParts, TrustWatch]:
    """The OAuth server, and the tasks that refresh its keys and revocations."""
    keyring, refused, sealer = SigningKeys(settings), Refused(), load_sealer(settings)
    outside = [OutsideIssuer(issuer) for issuer in settings.trusted_issuers]
    oauth = OAuthParts(
        settings=settings,
        sessions=sessions,
        keyring=keyring,
        verifier=TokenVerifier(settings, keyring, refused, outside),
        throttle=StoredThrottle(sessions),
        limits=limits,
        sealer=sealer,
        passwords=Passwords(),
    )
    bell = Listener(settings.database_url.get_secret_value(), revocations.CHANNEL)
    store = KeyStore(sessions, sealer)
    return oauth, TrustWatch(sessions, bell, store, keyring=keyring, refused=refused, outside=outside)
