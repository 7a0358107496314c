"""Health of the service; no credentials needed."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from api.dependencies import State
from api.http.envelope import json_response
from api.schemas.base import Timestamp
from api.services.health import DEGRADED, DISPENSABLE, HEALTHY, UNHEALTHY
from runtime import tenant_code
from runtime.ids import now
from runtime.version import RELEASE

router = APIRouter(tags=["Monitoring"])


class Healthy(BaseModel):
    """The contract's answer when the service is healthy, not enveloped. `degraded`: requests are still served."""

    status: str
    timestamp: Timestamp
    services: dict[str, str]
    version: str
    code: str = Field(description="`trusted: ...` or `isolated: ...`: what deployed code can do to this engine")


class Unhealthy(BaseModel):
    """The contract's answer when the service is unhealthy."""

    status: str
    timestamp: Timestamp
    services: dict[str, str]
    errors: list[str]


class Readiness(BaseModel):
    """Whether requests can be served."""

    status: str
    errors: list[str]


NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {"model": Readiness, "description": "Requests cannot be served yet; try again after Retry-After"}
}


@router.get(
    "/health",
    summary="System health check",
    response_model=Healthy,
    responses={503: {"model": Unhealthy, "description": "Unhealthy"}},
)
async def health(parts: State) -> Response:
    """The dependencies of the service and the state of each."""
    seen = await parts.health.services()
    services = {name: _state(name, fault) for name, fault in seen.items()}
    services |= dict.fromkeys(parts.health.degraded(), DEGRADED)
    errors = [fault for fault in seen.values() if fault is not None]
    if UNHEALTHY in services.values():
        body = Unhealthy(status=UNHEALTHY, timestamp=now(), services=services, errors=errors)
        return json_response(body, 503, {"Retry-After": "2"})
    status = DEGRADED if DEGRADED in services.values() else HEALTHY
    code = tenant_code.in_full(parts.settings)
    return json_response(Healthy(status=status, timestamp=now(), services=services, version=RELEASE, code=code), 200)


@router.get("/livez", summary="Is the process alive", response_model=Readiness)
async def livez() -> Response:
    """Checks nothing but this process."""
    return _readiness([])


@router.get("/readyz", summary="Can requests be served", response_model=Readiness, responses=NOT_READY)
async def readyz(parts: State) -> Response:
    """The database is reachable and has the schema that this code needs."""
    fault = await parts.health.schema()
    return _readiness([fault] if fault else [])


def _state(name: str, fault: str | None) -> str:
    if fault is None:
        return HEALTHY
    return DEGRADED if name in DISPENSABLE else UNHEALTHY


def _readiness(errors: Sequence[str]) -> Response:
    body = Readiness(status="unavailable" if errors else "ok", errors=list(errors))
    return json_response(body, 503, {"Retry-After": "2"}) if errors else json_response(body, 200)
