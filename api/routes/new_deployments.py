"""Answers to requests that make a deployment, and the start of its workflow after the commit."""

import re
from typing import Annotated

from fastapi import Header, Request, Response

from api.dependencies import AppState
from api.http.envelope import reply
from api.http.idempotency import Before, Command, Effect
from api.http.links import accepted_headers, created_headers
from api.schemas.views import accepted_view, deployment_view
from api.services.deployments.create import Asked
from api.services.deployments.start import try_start

_RESPOND_ASYNC = re.compile(r"(?:^|[,;\s])respond-async(?:$|[,;\s])", re.IGNORECASE)

Preference = Annotated[
    str | None, Header(max_length=200, description="respond-async: 202 with the operation (RFC 7240)")
]


class Asking:
    """One request that makes a deployment.

    The effect that is `run` records it and gives back `created` or `accepted`; `asked` is what it recorded.
    """

    def __init__(self, request: Request, parts: AppState, prefer: str | None = None) -> None:
        self._request = request
        self._parts = parts
        self._prefers_operation = bool(prefer and _RESPOND_ASYNC.search(prefer))
        self.asked: Asked | None = None

    async def run(self, command: Command, effect: Effect, *, before: Before | None = None) -> Response:
        """Carry out the effect; what it recorded is started now, or by the relay when that fails."""
        response = await command.run(effect, before=before)
        if self.asked is not None:
            operation = self.asked.operation
            await try_start(self._parts.operations, operation.kind, operation.input)
        return response

    def created(self, asked: Asked) -> Response:
        """201 with the pending deployment; 202 with its operation for who prefers that (RFC 7240)."""
        if self._prefers_operation:
            return self.accepted(asked, {"Preference-Applied": "respond-async"})
        self.asked = asked
        headers = created_headers(self._parts.settings, asked.operation.id, asked.deployment.id)
        return reply(self._request, deployment_view(asked.deployment), status=201, headers=headers)

    def accepted(self, asked: Asked, more: dict[str, str] | None = None) -> Response:
        """202 with the operation to look at."""
        self.asked = asked
        headers = accepted_headers(self._parts.settings, asked.operation.id, asked.deployment.id)
        return reply(self._request, accepted_view(asked.operation), status=202, headers={**headers, **(more or {})})
