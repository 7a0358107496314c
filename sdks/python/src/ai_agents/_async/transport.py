"""Sends calls: with credentials, again where that helps, and says in our words what went wrong."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from ai_agents._answers import Answer, warn_if_deprecated
from ai_agents._async._runtime import http_client, sleep
from ai_agents._async.auth import AsyncAuth
from ai_agents._calls import Call, merged
from ai_agents._credentials import Credentials, Grant, Tokens, refused, tokens_of
from ai_agents._errors import AIAgentsError, APIError, APITimeoutError, AuthenticationError
from ai_agents._log import log
from ai_agents._retries import Tries
from ai_agents._version import VERSION

if TYPE_CHECKING:
    import httpx2

USER_AGENT = f"ai-agents-sdk-python/{VERSION} python/{sys.version_info.major}.{sys.version_info.minor}"
OWN = {"User-Agent": USER_AGENT}
TOKEN = "oauth.token"  # noqa: S105 - the name of a call
FORM = "application/x-www-form-urlencoded"


class AsyncTransport:
    """One server, one pair of credentials, one HTTP client."""

    def __init__(
        self,
        root: str,
        credentials: Credentials,
        *,
        timeout: float,
        max_retries: int,
        headers: Mapping[str, str],
        client: httpx2.AsyncClient | None,
    ) -> None:
        self.root = root
        self.credentials = credentials
        self.timeout = timeout
        self.max_retries = max_retries
        self._headers = headers
        self._client = client
        self._is_ours = client is None
        self._making = threading.Lock()
        self._auth = AsyncAuth(credentials, self._fetch_tokens)

    async def close(self) -> None:
        """Close the connections, unless the HTTP client was given."""
        if self._is_ours and self._client is not None:
            await self._client.aclose()
            self._client = None

    async def send(self, call: Call) -> Answer:
        """The answer, whose status is below 400.

        Raises:
            APIError: The API refused it.
            APIConnectionError: There was no answer.
        """
        response, content = await self._tried(call, whole=True)
        return _answer(call, response, content)

    @asynccontextmanager
    async def open(self, call: Call) -> AsyncIterator[httpx2.Response]:
        """An answer whose body is read piece by piece (`pieces`); raises what `send` raises."""
        response, _ = await self._tried(call, whole=False)
        try:
            yield response
        finally:
            await response.aclose()

    async def pieces(self, call: Call, response: httpx2.Response) -> AsyncIterator[bytes]:
        """The body as it comes.

        Raises:
            APIConnectionError: It broke off.
        """
        import httpx2

        from ai_agents._faults import fault_of

        try:
            async for piece in response.aiter_bytes():
                yield piece
        except httpx2.HTTPError as error:
            raise fault_of(error, call.name, self.root, self._seconds(call)) from error

    async def _tried(self, call: Call, *, whole: bool, proven: bool = True) -> tuple[httpx2.Response, bytes]:
        tries = Tries(self.max_retries if call.max_retries is None else call.max_retries)
        renewed = False
        while True:
            proof = await self._auth.headers() if proven else {}
            try:
                return await self._try(call, proof, whole=whole)
            except AIAgentsError as error:
                if isinstance(error, AuthenticationError) and proven and not renewed:
                    renewed = True
                    if await self._auth.renewed(proof):
                        continue
                pause = tries.pause(error, once=call.once)
                if pause is None:
                    raise
                log.debug("%s: %s; again in %.2f s", call.name, type(error).__name__, pause)
            await sleep(pause)

    async def _try(self, call: Call, proof: Mapping[str, str], *, whole: bool) -> tuple[httpx2.Response, bytes]:
        """One request, and the body of its answer if it is to be read as a whole. A refusal is raised."""
        import httpx2

        from ai_agents._faults import fault_of

        started, seconds = time.monotonic(), self._seconds(call)
        client, content = self._http(), b""
        try:
            request = client.build_request(
                call.verb,
                self.root + call.path,
                params=call.query or None,
                content=call.content,
                headers=merged(OWN, {"Accept": call.accept}, proof, self._headers, call.headers),
                timeout=seconds,
            )
            response = await client.send(request, stream=True, follow_redirects=False)
            try:
                if whole or response.status_code >= 300:
                    content = await _read(response, call, started + seconds, seconds)
            except BaseException:
                await response.aclose()
                raise
        except httpx2.InvalidURL as error:
            raise AIAgentsError(f"{call.name}: {self.root} is no address: {error}") from None
        except httpx2.HTTPError as error:
            log.debug("%s %s: %s", call.verb, call.path, type(error).__name__)
            raise fault_of(error, call.name, self.root, seconds) from error
        took = (time.monotonic() - started) * 1000
        request_id = response.headers.get("x-request-id")
        log.debug("%s %s: %s in %.0f ms, request %s", call.verb, call.path, response.status_code, took, request_id)
        warn_if_deprecated(call, response.headers)
        if response.status_code >= 300 and response.status_code != 304:
            raise self._refusal(_answer(call, response, content))
        return response, content

    def _refusal(self, answer: Answer) -> APIError:
        if answer.call.name == TOKEN and (told := refused(answer)):
            return told
        error = answer.error()
        if isinstance(error, AuthenticationError) and self.credentials.kind == "no credentials":
            words = "no credentials were given: api_key, token, client_id with client_secret, or AI_AGENTS_API_KEY"
            error.args = (f"{error} ({words})",)
        return error

    async def _fetch_tokens(self, grant: Grant) -> Tokens:
        """A token request: RFC 6749's words, not the API's envelope."""
        call = Call(
            name=TOKEN,
            verb="POST",
            path="/oauth/token",
            headers={"Content-Type": FORM},
            content=urlencode(grant.form).encode(),
            once=grant.refresh_token is not None,
        )
        response, content = await self._tried(call, whole=True, proven=False)
        return tokens_of(_answer(call, response, content))

    def _seconds(self, call: Call) -> float:
        return self.timeout if call.timeout is None else call.timeout

    def _http(self) -> httpx2.AsyncClient:
        with self._making:
            if self._client is None:
                self._client = http_client()
            return self._client


async def _read(response: httpx2.Response, call: Call, ends: float, seconds: float) -> bytes:
    """The whole body. One that trickles has as long as one that hangs."""
    pieces: list[bytes] = []
    async for piece in response.aiter_bytes():
        pieces.append(piece)
        if time.monotonic() > ends:
            raise APITimeoutError(f"{call.name}: the answer was not whole within {seconds:g} s; `timeout` allows more")
    await response.aclose()
    return b"".join(pieces)


def _answer(call: Call, response: httpx2.Response, content: bytes) -> Answer:
    return Answer(
        call, response.status_code, {name.lower(): value for name, value in response.headers.items()}, content
    )
