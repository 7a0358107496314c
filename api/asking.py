"""Answers to requests that make a deployment, and the start of its workflow after the commit."""

import re

from fastapi import Request, Response

from api.commands import Command, Effect
from api.deliveries import Asked
from api.envelope import reply
from api.links import accepted_headers, created_headers
from api.parts import Parts
from api.starts import try_start
from api.views import accepted_view, deployment_view

_RESPOND_ASYNC = re.compile(r"(?:^|[,;\s])respond-async(?:$|[,;\s])", re.IGNORECASE)


class Asking:
    """One request. `answer` what was recorded inside of the effect that is `run`."""

    def __init__(self, request: Request, parts: Parts) -> None:
        self._request = request
        self._parts = parts
        self.asked: Asked | None = None

    async def run(self, command: Command, effect: Effect) -> Response:
        """Carry out the effect; what it recorded is started now, or by the relay when that fails."""
        response = await command.run(effect)
        if self.asked is not None:
            operation = self.asked.operation
            await try_start(self._parts.operations, operation.kind, operation.input)
        return response

    def created(self, asked: Asked) -> Response:
        """201 with the pending deployment; 202 with its operation for who prefers that (RFC 7240)."""
        if _RESPOND_ASYNC.search(",".join(self._request.headers.getlist("prefer"))):
            return self.accepted(asked, {"Preference-Applied": "respond-async"})
        self.asked = asked
        headers = created_headers(self._parts.settings, asked.operation.id, asked.deployment.id)
        return reply(self._request, deployment_view(asked.deployment), status=201, headers=headers)

    def accepted(self, asked: Asked, more: dict[str, str] | None = None) -> Response:
        """202 with the operation to look at."""
        self.asked = asked
        headers = accepted_headers(self._parts.settings, asked.operation.id, asked.deployment.id)
        return reply(self._request, accepted_view(asked.operation), status=202, headers={**headers, **(more or {})})
