"""Credentials of requests: fetched when they are needed, renewed early, one renewal at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from ai_agents._async._runtime import Lock, called, given
from ai_agents._credentials import Credentials, Grant, Lease, Tokens


class AsyncAuth:
    """What each request proves itself with.

    Args:
        credentials: that were given.
        fetch: makes a token request.
    """

    def __init__(self, credentials: Credentials, fetch: Callable[[Grant], Awaitable[Tokens]]) -> None:
        self._credentials = credentials
        self._fetch = fetch
        self._grant = credentials.grant
        self._token = credentials.token
        self._lease = Lease(credentials.token_expires_in) if credentials.token_expires_in is not None else None
        self._lock = Lock()

    async def headers(self) -> dict[str, str]:
        """What a request sends, with a token that is good for a while."""
        if self._credentials.api_key:
            return {"X-API-Key": self._credentials.api_key}
        token = await self._current()
        return {"Authorization": f"Bearer {token}"} if token else {}

    async def _current(self) -> str | None:
        if self._credentials.token_function:
            return str(await given(self._credentials.token_function)).strip()
        if self._grant and (self._token is None or (self._lease and self._lease.is_over)):
            async with self._lock:
                if self._token is None or (self._lease and self._lease.is_over):
                    await self._renew(self._grant)
        return self._token

    async def renewed(self, refused: dict[str, str]) -> bool:
        """Have another token than the one that was refused; False: there is no way to get one."""
        if self._grant is None:
            return False
        async with self._lock:
            if refused.get("Authorization") == f"Bearer {self._token}":
                await self._renew(self._grant)
        return True

    async def _renew(self, grant: Grant) -> None:
        """Called with the lock. The next refresh uses the newest refresh token."""
        tokens = await self._fetch(grant)
        self._token = tokens.access_token
        self._lease = Lease(tokens.expires_in)
        if grant.refresh_token and tokens.refresh_token:
            self._grant = replace(grant, refresh_token=tokens.refresh_token)
        if self._credentials.on_tokens:
            await called(self._credentials.on_tokens, tokens)
