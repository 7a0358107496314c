"""A client of the AI agent delivery API.

    from ai_agents import Client

    client = Client(api_key="sk-live-...", base_url="https://api.example.com/v1")
    for project in client.projects.list(org_id="..."):
        print(project.name)

`AsyncClient` is the same for asyncio. What is imported costs nothing before it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ai_agents._version import VERSION

if TYPE_CHECKING:
    from ai_agents import errors as errors
    from ai_agents import models as models
    from ai_agents import params as params
    from ai_agents import webhooks as webhooks
    from ai_agents._async.client import AsyncClient
    from ai_agents._async.lines import AsyncLines
    from ai_agents._async.operations import AsyncOperationHandle
    from ai_agents._async.pages import AsyncPage
    from ai_agents._credentials import Tokens
    from ai_agents._errors import (
        AIAgentsError,
        APIConnectionError,
        APIDeprecationWarning,
        APIError,
        APITimeoutError,
        AuthenticationError,
        BadRequestError,
        ConflictError,
        ContentTooLargeError,
        InternalServerError,
        InvalidResponseError,
        NotFoundError,
        OperationFailedError,
        OperationTimeoutError,
        PermissionDeniedError,
        PreconditionFailedError,
        RateLimitError,
        RequestTimeoutError,
        UnprocessableContentError,
        UnsupportedMediaTypeError,
        WebhookVerificationError,
    )
    from ai_agents._log_lines import LogLine
    from ai_agents._raw import RawResponse
    from ai_agents._sync.client import Client
    from ai_agents._sync.lines import Lines
    from ai_agents._sync.operations import OperationHandle
    from ai_agents._sync.pages import Page
    from ai_agents._types import NOT_GIVEN, NotGiven

__version__ = VERSION

_HOMES = {
    "AsyncClient": "_async.client",
    "AsyncLines": "_async.lines",
    "AsyncOperationHandle": "_async.operations",
    "AsyncPage": "_async.pages",
    "Client": "_sync.client",
    "LogLine": "_log_lines",
    "Lines": "_sync.lines",
    "NOT_GIVEN": "_types",
    "NotGiven": "_types",
    "OperationHandle": "_sync.operations",
    "Page": "_sync.pages",
    "RawResponse": "_raw",
    "Tokens": "_credentials",
}
_MODULES = frozenset({"errors", "models", "params", "webhooks"})

__all__ = [
    "NOT_GIVEN",
    "AIAgentsError",
    "APIConnectionError",
    "APIDeprecationWarning",
    "APIError",
    "APITimeoutError",
    "AsyncClient",
    "AsyncLines",
    "AsyncOperationHandle",
    "AsyncPage",
    "AuthenticationError",
    "BadRequestError",
    "Client",
    "ConflictError",
    "ContentTooLargeError",
    "InternalServerError",
    "InvalidResponseError",
    "Lines",
    "LogLine",
    "NotFoundError",
    "NotGiven",
    "OperationFailedError",
    "OperationHandle",
    "OperationTimeoutError",
    "Page",
    "PermissionDeniedError",
    "PreconditionFailedError",
    "RateLimitError",
    "RawResponse",
    "RequestTimeoutError",
    "Tokens",
    "UnprocessableContentError",
    "UnsupportedMediaTypeError",
    "WebhookVerificationError",
    "__version__",
    "errors",
    "models",
    "params",
    "webhooks",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for."""
    if name in _MODULES:
        return importlib.import_module(f"ai_agents.{name}")
    if name not in __all__:
        raise AttributeError(f"module 'ai_agents' has no attribute {name!r}")
    found = getattr(importlib.import_module(f"ai_agents.{_HOMES.get(name, '_errors')}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
