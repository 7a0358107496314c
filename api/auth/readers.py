"""Checks the reader of a long response again while it lasts, as if each part were a request of its own."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request

from api.auth.authentication import principal_of
from api.auth.principal import Principal
from api.dependencies import AppState
from api.http.errors import UnauthenticatedError
from domain.errors import DeliveryError
from domain.permissions import Scope

T = TypeVar("T")

# Every process knows of a revocation within a second (api/auth/refresh.py).
LOOK_EVERY_S = 1.0


class Reader:
    """The principal of a request and the permissions it needed. A check costs no statement: all data is in memory.

    Args:
        request: with its credentials.
        parts: of the application.
        principal: of the credentials when the response began.
        any_of: one of these permissions is required.
    """

    def __init__(self, request: Request, parts: AppState, principal: Principal, *any_of: Scope) -> None:
        self._request = request
        self._parts = parts
        self._principal = principal
        self._any_of = any_of

    async def check(self) -> None:
        """Check that the reader may continue.

        Raises:
            UnauthenticatedError: the credentials are expired or revoked by now, or belong to another principal.
            ForbiddenError: the permission is gone.
            DependencyError: the credentials cannot be checked now.
        """
        found = await principal_of(self._request, self._parts)
        before = self._principal
        if (found.subject, found.tenant) != (before.subject, before.tenant):
            raise UnauthenticatedError("these credentials are somebody else's by now", token_was_given=True)
        found.require(*self._any_of)

    async def fault(self) -> DeliveryError | None:
        """The error that ends the response; None: the reader may continue."""
        try:
            await self.check()
        except DeliveryError as error:
            return error
        return None

    async def while_allowed(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, as long as the reader keeps its permission; else raises as `check` does."""
        task = asyncio.ensure_future(work)
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=LOOK_EVERY_S)
                await self.check()
            return task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
