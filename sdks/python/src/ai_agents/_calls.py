"""One logical call: what a method was asked, and the request that carries it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import Enum
from typing import Any

from ai_agents._types import NotGiven
from ai_agents._urls import VERSION, instant, path_of, query_of, text_of

KEYED = frozenset({"POST", "PATCH"})
JSON = "application/json"
_OPTIONS = frozenset({"timeout", "max_retries", "extra_headers", "idempotency_key"})


@dataclass(frozen=True)
class Call:
    """One logical call, however many tries it takes: they all carry the same idempotency key."""

    name: str
    """`projects.get`: for messages, logs and warnings."""
    verb: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = field(default=None, repr=False)
    timeout: float | None = None
    max_retries: int | None = None
    accept: str = JSON
    once: bool = False
    """Whether it must not reach the server twice: nothing is sent again that may have arrived."""

    def again(self, **query: Any) -> Call:
        """The same with other parameters; None removes one."""
        return replace(self, query=query_of({**self.query, **query}))


def call(
    name: str,
    verb: str,
    template: str,
    *,
    path: Mapping[str, Any] | None = None,
    query: Mapping[str, Any] | None = None,
    headers: Mapping[str, Any] | None = None,
    body: Mapping[str, Any] | None = None,
    accept: str = JSON,
    options: Mapping[str, Any],
) -> Call:
    """What a method was asked.

    Raises:
        ValueError: An argument cannot be: nothing is sent.
        TypeError: An option that there is not.
    """
    unknown = sorted(set(options) - (_OPTIONS if verb in KEYED else _OPTIONS - {"idempotency_key"}))
    if unknown:
        raise TypeError(f"{name}() got an unexpected keyword argument {unknown[0]!r}")
    return Call(
        name=name,
        verb=verb,
        path=VERSION + path_of(template, path or {}),
        query=query_of(query or {}),
        headers={**({} if body is None else {"Content-Type": JSON}), **_headers(verb, headers or {}, options)},
        content=None if body is None else encoded(body),
        timeout=_timeout(options.get("timeout")),
        max_retries=_retries(options.get("max_retries")),
        accept=accept,
    )


def _headers(verb: str, given: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, str]:
    headers = query_of(given)
    if verb in KEYED:
        headers["Idempotency-Key"] = options.get("idempotency_key") or str(uuid.uuid4())
    return {**headers, **checked_headers(options.get("extra_headers") or {})}


def checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers as they can be sent.

    Raises:
        ValueError: A name or a value has characters that would be something else on the line. It is not shown.
    """
    for name, value in headers.items():
        if not (name.isascii() and name and not set(name) & set(" \r\n:")) or set(str(value)) & set("\r\n\0"):
            raise ValueError(f"the header {name!r} has characters that a header cannot have")
    return {name: str(value) for name, value in headers.items()}


def merged(*several: Mapping[str, str]) -> dict[str, str]:
    """The headers of all, the later ones first; whatever the case of its name, each is sent once."""
    found = {name.lower(): (name, value) for headers in several for name, value in headers.items()}
    return dict(found.values())


def _timeout(seconds: float | None) -> float | None:
    if seconds is not None and not seconds > 0:
        raise ValueError(f"timeout must be more than 0 seconds, not {seconds}")
    return seconds


def _retries(number: int | None) -> int | None:
    if number is not None and number < 0:
        raise ValueError(f"max_retries must not be negative: {number}")
    return number


def encoded(body: Mapping[str, Any]) -> bytes:
    """The fields of a body that were given. None is null.

    Raises:
        ValueError: A value that JSON has no form for.
    """
    fields = {name: value for name, value in body.items() if not isinstance(value, NotGiven)}
    return json.dumps(fields, default=_plain, allow_nan=False, ensure_ascii=False).encode()


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):  # a model of ours, given back
        return value.model_dump(mode="json", exclude_unset=True)
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, (uuid.UUID, date, Enum)):
        return text_of(value)
    if isinstance(value, (set, frozenset, Mapping)):
        return dict(value) if isinstance(value, Mapping) else list(value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    raise ValueError(f"an argument holds a {type(value).__name__}, which JSON has no form for")
