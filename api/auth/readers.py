"""Who reads an answer that takes its time: asked again while it lasts, as if each piece were a request of its own."""

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

# What was revoked is known in every process within a second (api/auth/refresh.py).
LOOK_EVERY_S = 1.0


class Reader:
    """Whoever made a request, and what they needed for it. Looking again costs no statement: all is in memory.

    Args:
        request: with the credentials that were shown.
        parts: of the application.
        principal: whom they spoke for when the answer began.
        any_of: one of these permissions has to be held.
    """

    def __init__(self, request: Request, parts: AppState, principal: Principal, *any_of: Scope) -> None:
        self._request = request
        self._parts = parts
        self._principal = principal
        self._any_of = any_of

    async def check(self) -> None:
        """Whether they may read on.

        Raises:
            UnauthenticatedError: the credentials are expired or revoked by now, or somebody else's.
            ForbiddenError: they do not carry the permission any more.
            DependencyError: nobody can tell now.
        """
        found = await principal_of(self._request, self._parts)
        before = self._principal
        if (found.subject, found.tenant) != (before.subject, before.tenant):
            raise UnauthenticatedError("these credentials are somebody else's by now", token_was_given=True)
        found.require(*self._any_of)

    async def fault(self) -> DeliveryError | None:
        """Why they may not read on; None: they may."""
        try:
            await self.check()
        except DeliveryError as error:
            return error
        return None

    async def while_allowed(self, work: Coroutine[Any, Any, T]) -> T:
        """What work comes to, for as long as they may hear of it; else raises as `check` does."""
        task = asyncio.ensure_future(work)
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=LOOK_EVERY_S)
                await self.check()
            return task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
