"""Deprecation: a mark on a route or a field, published by headers, warnings and the OpenAPI document.

    old = Deprecation(since=date(2026, 1, 1), sunset=date(2026, 7, 1), successor="/v2/projects/{project_id}")

    @router.get("/projects/{project_id}/old")
    @old
    async def get_old(...): ...

    class ProjectView(View):
        label: Annotated[str, Deprecation(since=..., sunset=..., successor="the field host_label")]

A field warns when a client sends it, or when it is answered; never for its default.
"""

from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from email.utils import format_datetime
from typing import Any, TypeVar
from urllib.parse import quote

from fastapi import APIRouter
from fastapi.routing import APIRoute
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.ids import now
from runtime.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])

_MARK = "__deprecation__"


@dataclass(frozen=True)
class Deprecation:
    """Since when (UTC midnight) something is deprecated, when it ends, and what to use instead.

    Args:
        since: the first day of the warnings.
        sunset: the day it stops working; None: not decided.
        successor: a path under the API's base (path parameters in braces), or a text; None: none.
        what: for the warning; fields use their own name.
    """

    since: date
    sunset: date | None = None
    successor: str | None = None
    what: str = "This endpoint"

    def __call__(self, endpoint: F) -> F:
        """Mark a route's function; `mark` adds it to the OpenAPI document."""
        setattr(endpoint, _MARK, self)
        return endpoint

    def warning(self) -> str:
        """A sentence for `meta.warnings`; it also says if the sunset has passed."""
        instead = f" Please migrate to {self.successor}." if self.successor else ""
        today = now().date()
        if self.sunset and self.sunset <= today:
            return f"{self.what} was deprecated on {self.since} and stopped working on {self.sunset}.{instead}"
        begins = "is deprecated since" if self.since <= today else "will be deprecated on"
        end = f" and stops working on {self.sunset}" if self.sunset else ""
        return f"{self.what} {begins} {self.since}{end}.{instead}"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        own = replace(self, what=f"The field {handler.field_name}")

        def seen(value: Any) -> Any:
            notice(own)
            return value

        return core_schema.no_info_after_validator_function(seen, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "deprecated": True}


_noticed: ContextVar[dict[Deprecation, None] | None] = ContextVar("deprecations", default=None)


def notice(deprecation: Deprecation) -> None:
    """The current request, if there is one, uses something deprecated."""
    found = _noticed.get()
    if found is not None:
        found[deprecation] = None


def mark(*routers: APIRouter) -> None:
    """Mark deprecated routes in the OpenAPI document."""
    for route in (route for router in routers for route in router.routes):
        if isinstance(route, APIRoute) and hasattr(route.endpoint, _MARK):
            route.deprecated = True


def found_in(scope: Scope) -> list[Deprecation]:
    """The deprecated parts that a request used: its route first, then fields."""
    own: Deprecation | None = getattr(scope.get("endpoint"), _MARK, None)
    return [*([own] if own else []), *(_noticed.get() or ())]


def warnings(scope: Scope) -> list[str] | None:
    """For `meta.warnings`; None when there are none."""
    return [one.warning() for one in found_in(scope)] or None


class DeprecationHeaders:
    """Adds the headers to every answer that uses something deprecated, including errors."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start" and (found := found_in(scope)):
                self._tell(found, scope, MutableHeaders(scope=message))
            await send(message)

        token = _noticed.set({})
        try:
            await self.app(scope, receive, send_with_headers)
        finally:
            _noticed.reset(token)

    def _tell(self, found: list[Deprecation], scope: Scope, headers: MutableHeaders) -> None:
        for name, value in header_values(found, scope.get("path_params", {}), self._settings):
            headers.append(name, value)


def header_values(found: list[Deprecation], path: Mapping[str, Any], settings: Settings) -> Iterator[tuple[str, str]]:
    """`Deprecation` (RFC 9745), `Sunset` (RFC 8594) and `Link`, with the earliest dates of all parts used."""
    since = _midnight(min(one.since for one in found))
    ends = [one.sunset for one in found if one.sunset]
    contract = settings.contract_deprecation_headers
    yield "Deprecation", "true" if contract else f"@{int(since.timestamp())}"
    if ends:
        end = _midnight(min(ends))
        yield "Sunset", f"{end:%Y-%m-%dT%H:%M:%SZ}" if contract else format_datetime(end, usegmt=True)
    for one in found:
        if one.successor and one.successor.startswith("/"):
            address = settings.base_url + one.successor.format_map(
                {name: quote(str(value), safe="") for name, value in path.items()}
            )
            yield "Link", f'<{address}>; rel="successor-version"'


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)
