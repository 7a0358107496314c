"""Counts each request for its organization: status, latency, and the queries it caused."""

import time
from typing import Any
from uuid import UUID

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.auth.authentication import Identity
from runtime.meter import Meter, Tally, current

PROBES = frozenset(prefix + path for prefix in ("", "/v1") for path in ("/livez", "/readyz", "/health"))
"""Health checks of load balancers are not counted."""
MS = 1000


class Metering:
    """Latency is the time until an answer begins; that of long polls (`wait`) is left out.

    A request belongs to the caller's organization; to none without valid credentials, or for a platform admin.
    """

    def __init__(self, app: ASGIApp, meter: Meter) -> None:
        self.app = app
        self._meter = meter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self.app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        tally, began, is_counted = Tally(), time.perf_counter(), False

        async def send_counted(message: Message) -> None:
            nonlocal is_counted
            if not is_counted and message["type"] == "http.response.start":
                is_counted = True
                spent = None if tally.waits else (time.perf_counter() - began) * MS
                self._meter.of(_organization(state)).answered(message["status"], spent)
            await send(message)

        token = current.set(tally)
        try:
            await self.app(scope, receive, send_counted)
        finally:
            current.reset(token)
            self._meter.close(tally, _organization(state))


def _organization(state: dict[str, Any]) -> UUID | None:
    found = state.get("identity")
    return found.principal.organization_id if isinstance(found, Identity) and found.principal is not None else None
