"""What a client proves itself with, and how long a token is good."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ai_agents._answers import Answer
from ai_agents._errors import APIError, AuthenticationError, InvalidResponseError, of_status
from ai_agents._retries import PATIENCE_S, retry_after

KEY_VARIABLE = "AI_AGENTS_API_KEY"
URL_VARIABLE = "AI_AGENTS_BASE_URL"
# A token is renewed so long before its end, or a tenth of its life if that is less.
EARLY_S = 60.0
# RFC 6749 lets a server leave `expires_in` out.
USUAL_S = 3600.0
# Words of RFC 6749 that mean: these credentials do not work.
REFUSED = frozenset({"invalid_client", "invalid_grant", "unauthorized_client"})


@dataclass(frozen=True)
class Tokens:
    """What a token request gave; told to `on_tokens`, so that a program can keep it."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    expires_in: float = USUAL_S
    """Seconds from when it was given."""
    scope: str | None = None


@dataclass(frozen=True)
class Grant:
    """How new tokens are got: client credentials, or a refresh token."""

    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    scope: str | None = None
    refresh_token: str | None = field(default=None, repr=False)

    @property
    def form(self) -> dict[str, str]:
        """The token request. The newest refresh token is in it: each can be used once."""
        kind = "refresh_token" if self.refresh_token else "client_credentials"
        found = {
            "grant_type": kind,
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "scope": self.scope,
            "refresh_token": self.refresh_token,
        }
        return {name: value for name, value in found.items() if value}


@dataclass(frozen=True)
class Credentials:
    """One of its kinds, or none (what anybody may ask). Nothing of it is in its repr."""

    api_key: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    token_function: Callable[[], Any] | None = field(default=None, repr=False)
    grant: Grant | None = field(default=None, repr=False)
    token_expires_in: float | None = None
    on_tokens: Callable[[Tokens], Any] | None = field(default=None, repr=False)

    @property
    def kind(self) -> str:
        """For people."""
        if self.api_key:
            return "API key"
        if self.grant:
            return "refresh token" if self.grant.refresh_token else "client credentials"
        return "token" if self.token or self.token_function else "no credentials"


def credentials(
    *,
    api_key: str | None,
    token: str | Callable[[], Any] | None,
    token_expires_in: float | None,
    client_id: str | None,
    client_secret: str | None,
    scope: str | None,
    refresh_token: str | None,
    on_tokens: Callable[[Tokens], Any] | None,
    environment: Mapping[str, str] = os.environ,
) -> Credentials:
    """What was given, or the environment's key.

    Raises:
        ValueError: Two kinds at once, a part without its other, or characters that a header cannot have.
    """
    key = _secret("api_key", api_key)
    fixed = None if callable(token) else _secret("token", token)
    function = token if callable(token) else None
    if client_secret and not client_id:
        raise ValueError("client_secret needs its client_id")
    if client_id and not (client_secret or refresh_token):
        raise ValueError("client_id needs client_secret, or refresh_token")
    if refresh_token and not client_id:
        raise ValueError("refresh_token needs the client_id that it was given to")
    grant = Grant(client_id, client_secret, scope, refresh_token) if client_id else None
    given = [name for name, value in (("api_key", key), ("token", fixed or function), ("client_id", grant)) if value]
    if len(given) > 1 and given != ["token", "client_id"]:
        raise ValueError(f"{given[0]} and {given[1]} at once: give one of them")
    if function and grant:
        raise ValueError("a token function and client_id at once: give one of them")
    if not given:
        key = _secret(KEY_VARIABLE, environment.get(KEY_VARIABLE))
    return Credentials(key, fixed, function, grant, token_expires_in, on_tokens)


def _secret(name: str, value: str | None) -> str | None:
    """Without the line's end that files have; never shown."""
    if value is None:
        return None
    text = value.strip()
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(f"{name} has characters that no key and no token has")
    return text or None


class Lease:
    """How long a token is good, by this machine's stopwatch: neither clock needs to be right."""

    def __init__(self, seconds: float) -> None:
        self._ends = time.monotonic() + seconds - min(EARLY_S, seconds / 10)

    @property
    def is_over(self) -> bool:
        """Whether it is time for a new one."""
        return time.monotonic() >= self._ends


def tokens_of(answer: Answer) -> Tokens:
    """The tokens of a good answer.

    Raises:
        InvalidResponseError: It has none.
    """
    found = _object(answer.json())
    token: Any = found.get("access_token")
    expires: Any = found.get("expires_in")
    if not isinstance(token, str):
        raise answer.invalid("has no access_token")
    lasts = float(expires) if type(expires) in {int, float} and expires > 0 else USUAL_S
    return Tokens(token, found.get("refresh_token"), lasts, found.get("scope"))


def refused(answer: Answer) -> APIError | None:
    """The error of a token request, in RFC 6749's words; None if it is not one of them."""
    try:
        found = _object(answer.json())
    except InvalidResponseError:
        return None
    code = found.get("error")
    if not isinstance(code, str):
        return None
    kind = AuthenticationError if code in REFUSED else of_status(answer.status)
    words = f"{answer.call.name}: {found.get('error_description') or code} ({code})"
    told = retry_after(answer.headers)
    if told is not None and told > PATIENCE_S:
        words += f" (not tried again: the server says to wait {told:.0f} s)"
    request_id = answer.headers.get("x-request-id")
    return kind(words, status=answer.status, code=code, request_id=request_id, retry_after=told, headers=answer.headers)


def _object(found: Any) -> dict[str, Any]:
    return found if isinstance(found, dict) else {}  # pyright: ignore[reportUnknownVariableType]
