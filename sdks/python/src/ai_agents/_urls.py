"""Addresses: of the server, and of one call."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from enum import Enum
from typing import Any
from urllib.parse import quote, urlsplit

from ai_agents._types import NotGiven

VERSION = "/v1"
_NAME = re.compile(r"\{(\w+)\}")


def server_root(base_url: str) -> str:
    """The address that `/v1` and `/oauth` are below: without a last slash, and without `/v1`.

    Raises:
        ValueError: It is no http or https address of a server.
    """
    address = base_url.strip()
    try:
        parts = urlsplit(address)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good:
        raise ValueError(f"base_url {base_url!r} is no address such as https://api.example.com/v1")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("base_url has a user, a query or a fragment; credentials are api_key, token or client_id")
    return address.rstrip("/").removesuffix(VERSION).rstrip("/")


def path_of(template: str, values: Mapping[str, Any]) -> str:
    """A path with its values, each percent-encoded.

    Raises:
        ValueError: A value is empty, or one that the address would lose (`.` and `..`).
    """
    return _NAME.sub(lambda found: quote(_segment(found[1], values[found[1]]), safe=""), template)


def _segment(name: str, value: Any) -> str:
    if value is None or isinstance(value, NotGiven):
        raise ValueError(f"{name} is missing")
    text = str(value)
    if not text.strip() or text in {".", ".."}:
        raise ValueError(f"{name} must not be {text!r}")
    return text


def query_of(values: Mapping[str, Any]) -> dict[str, str]:
    """The parameters that were given, as text."""
    return {
        name: text_of(value) for name, value in values.items() if value is not None and not isinstance(value, NotGiven)
    }


def text_of(value: Any) -> str:
    """A value as the API writes it in a query or a header."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Enum):
        return text_of(value.value)
    if isinstance(value, (list, tuple)):
        return ",".join(text_of(one) for one in value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return str(value)


def instant(value: datetime) -> str:
    """RFC 3339.

    Raises:
        ValueError: It does not say its time zone.
    """
    if value.tzinfo is None:
        raise ValueError(f"{value.isoformat()} has no time zone: say which it is, for example with timezone.utc")
    return value.isoformat()
