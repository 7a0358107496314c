"""The parts of a running API, and the dependency that gives requests access to them."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from api.auth.api_key_cache import ApiKeyCache
from api.auth.key_uses import KeyUses
from api.auth.tokens import TokenVerifier
from api.http.client_ip import Addresses
from api.http.concurrency_limits import AllPlaces
from api.oauth.parts import OAuthParts
from api.operations_port import OperationsPort
from api.rate_limits.rates import Rates
from api.services.deployments.cached_reader import DeploymentReader
from api.services.health import Health
from api.services.logs.parts import Logs
from api.services.metrics import MetricsReader
from api.services.operations.progress import ProgressReader
from api.services.operations.watch import Watch
from runtime.encryption import Sealer
from runtime.limiting.limiter import Limiter
from runtime.meter import Meter
from runtime.passwords import Passwords
from runtime.settings import Settings
from storage.engine import Sessions


@dataclass(frozen=True)
class AppState:
    """Created and closed in the lifespan."""

    settings: Settings
    sessions: Sessions
    operations: OperationsPort
    progress: ProgressReader
    watch: Watch
    deployments: DeploymentReader
    verifier: TokenVerifier
    keys: ApiKeyCache
    key_uses: KeyUses
    addresses: Addresses
    limiter: Limiter
    rates: Rates
    places: AllPlaces
    health: Health
    logs: Logs
    meter: Meter
    metrics: MetricsReader
    sealer: Sealer
    passwords: Passwords
    oauth: OAuthParts


async def get_state(request: Request) -> AppState:
    """The parts of the application a request came to."""
    return cast("AppState", request.app.state.parts)


State = Annotated[AppState, Depends(get_state)]
