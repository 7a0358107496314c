"""Requests in Authlib's format: each parameter once, in characters that a response can carry."""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from authlib.oauth2.rfc6749 import InvalidRequestError, OAuth2Payload, OAuth2Request
from fastapi import Request

FORM: Final = "application/x-www-form-urlencoded"
MAX_FIELDS: Final = 40
MAX_VALUE: Final = 4096
MAX_BODY: Final = 64 * 1024
# Authlib must not judge whether the transport is secure: TLS ends before us.
_PROTECTED: Final = "https://protected.invalid/"
# RFC 6749, appendix A: the allowed characters of parameters; Authlib repeats these in its messages.
_PLAIN = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]*")
_REPEATED = ("client_id", "redirect_uri", "response_type", "grant_type", "scope", "code_challenge_method")


class Payload(OAuth2Payload):  # type: ignore[misc]  # Authlib has no types
    """The parameters of one request."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    @property
    def data(self) -> Mapping[str, str]:
        return self._values

    @property
    def datalist(self) -> Mapping[str, list[str]]:
        return {name: [value] for name, value in self._values.items()}


class ProtocolRequest(OAuth2Request):  # type: ignore[misc]  # Authlib has no types
    """A protocol request whose parameters are parsed already."""

    def __init__(self, method: str, headers: Mapping[str, str], values: Mapping[str, str]) -> None:
        super().__init__(method, _PROTECTED, headers=headers)
        self.payload = Payload(values)
        self._values = values

    @property
    def args(self) -> Mapping[str, str]:
        return self._values

    @property
    def form(self) -> Mapping[str, str]:
        return self._values


def query_request(request: Request) -> ProtocolRequest:
    """An authorization request.

    Raises:
        InvalidRequestError: it cannot be parsed.
    """
    return ProtocolRequest("GET", {}, _checked(_values(request.scope["query_string"])))


async def form_request(request: Request) -> ProtocolRequest:
    """A form request of a program.

    Raises:
        InvalidRequestError: it cannot be parsed, or authenticates its client twice.
    """
    values = _checked(await form_values(request))
    headers = {"Authorization": request.headers.get("authorization", "")}
    if headers["Authorization"] and "client_secret" in values:
        raise InvalidRequestError("authenticate the client in one way: either by header or by body")
    return ProtocolRequest("POST", headers, values)


async def form_values(request: Request) -> dict[str, str]:
    """The fields of a form, each once; empty ones count as absent (RFC 6749, 3.1).

    Raises:
        InvalidRequestError: it is not a form, is too large, or repeats a field.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != FORM:
        raise InvalidRequestError(f"send the body as {FORM}")
    return _values(await request.body())


def _values(raw: bytes) -> dict[str, str]:
    if len(raw) > MAX_BODY:
        raise InvalidRequestError(f"more than {MAX_BODY} bytes")
    try:
        pairs = parse_qsl(raw.decode("ascii"), encoding="utf-8", errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise InvalidRequestError("the parameters cannot be read: URL-encoded UTF-8 is wanted") from error
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            raise InvalidRequestError("each parameter is given once" + (f": {name}" if name.isidentifier() else ""))
        if len(value) > MAX_VALUE and name != "token":
            raise InvalidRequestError(f"a parameter is longer than {MAX_VALUE} characters")
        values[name] = value
    return values


def _checked(values: dict[str, str]) -> dict[str, str]:
    for name in _REPEATED:
        if not _PLAIN.fullmatch(values.get(name, "")):
            raise InvalidRequestError(f"{name} has characters that it cannot have")
    return values
