"""The client: where a program begins."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING

from ai_agents._async.resources import AsyncResources
from ai_agents._async.transport import AsyncTransport
from ai_agents._calls import checked_headers
from ai_agents._credentials import URL_VARIABLE, Tokens, credentials
from ai_agents._urls import VERSION, server_root

if TYPE_CHECKING:
    import httpx2
    from typing_extensions import Self


class AsyncClient(AsyncResources):
    """A client of the API. It may be shared, and keeps its connections until `close` or the end of `async with`.

    Args:
        base_url: the API's address, with or without `/v1`; `AI_AGENTS_BASE_URL` if it is not given.
        api_key: a key (`sk-live-...`); `AI_AGENTS_API_KEY` if no credentials are given.
        token: an access token, or a function that gives one for each request.
        token_expires_in: with `refresh_token`: for how many seconds `token` is good.
        client_id: of a service account, with `client_secret`; or of the application that `refresh_token` was given to.
        client_secret: of the service account, or of the application if it has one.
        scope: what to ask of the token; all that is allowed if it is not given.
        refresh_token: each can be used once: `on_tokens` is told of the next one.
        on_tokens: called with the new `Tokens` after each token request.
        timeout: seconds for each try.
        max_retries: how often a try that failed is repeated.
        default_headers: sent with each request.
        http_client: your own, with its proxies, certificates and limits. It is yours to close.

    Raises:
        ValueError: These arguments cannot be.
    """

    def __init__(
        self,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        token: str | Callable[[], Awaitable[str] | str] | None = None,
        token_expires_in: float | None = None,
        client_id: str | None = None,
        client_secret: str | None = None,
        scope: str | None = None,
        refresh_token: str | None = None,
        on_tokens: Callable[[Tokens], Awaitable[object] | object] | None = None,
        timeout: float = 60.0,
        max_retries: int = 2,
        default_headers: Mapping[str, str] | None = None,
        http_client: httpx2.AsyncClient | None = None,
    ) -> None:
        address = base_url or os.environ.get(URL_VARIABLE)
        if not address:
            raise ValueError(f"no base_url: say where the API is (https://api.example.com/v1), or set {URL_VARIABLE}")
        if not timeout > 0:
            raise ValueError(f"timeout must be more than 0 seconds, not {timeout}")
        if max_retries < 0:
            raise ValueError(f"max_retries must not be negative: {max_retries}")
        self._transport = AsyncTransport(
            server_root(address),
            credentials(
                api_key=api_key,
                token=token,
                token_expires_in=token_expires_in,
                client_id=client_id,
                client_secret=client_secret,
                scope=scope,
                refresh_token=refresh_token,
                on_tokens=on_tokens,
            ),
            timeout=timeout,
            max_retries=max_retries,
            headers=checked_headers(default_headers or {}),
            client=http_client,
        )

    @property
    def base_url(self) -> str:
        """Where the API is."""
        return self._transport.root + VERSION

    async def close(self) -> None:
        """Close the connections, unless the HTTP client was given."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        """Where and with which kind of credentials, never which."""
        return f"{type(self).__name__}(base_url={self.base_url!r}, credentials={self._transport.credentials.kind!r})"
