"""Answers to requests that create a deployment."""

import re
from typing import Annotated

from fastapi import Header, Request, Response

from api.dependencies import AppState
from api.http.envelope import reply
from api.http.links import accepted_headers, created_headers
from api.schemas.views import accepted_view, deployment_view
from api.services.deployments.create import Asked

_RESPOND_ASYNC = re.compile(r"(?:^|[,;\s])respond-async(?:$|[,;\s])", re.IGNORECASE)

Preference = Annotated[
    str | None, Header(max_length=200, description="respond-async: 202 with the operation (RFC 7240)")
]


def created(request: Request, parts: AppState, asked: Asked, prefer: str | None) -> Response:
    """201 with the pending deployment; 202 with its operation if the client prefers that (RFC 7240)."""
    if prefer and _RESPOND_ASYNC.search(prefer):
        return accepted(request, parts, asked, {"Preference-Applied": "respond-async"})
    headers = created_headers(parts.settings, asked.operation.id, asked.deployment.id)
    return reply(request, deployment_view(asked.deployment), status=201, headers=headers)


def accepted(request: Request, parts: AppState, asked: Asked, more: dict[str, str] | None = None) -> Response:
    """202 with the operation to poll."""
    headers = accepted_headers(parts.settings, asked.operation.id, asked.deployment.id)
    return reply(request, accepted_view(asked.operation), status=202, headers={**headers, **(more or {})})
