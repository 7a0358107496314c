"""The contract's envelope around every answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Literal, Self, TypeVar

from fastapi import Request, Response
from pydantic import BaseModel, Field
from pydantic_core import to_json

from api.http import deprecation
from api.http.etags import tag_of_json, unchanged
from api.http.links import list_links
from api.version import API_VERSION
from domain.facts import Fault
from runtime.ids import now
from storage.repositories.base import Page

T = TypeVar("T")
JSON = "application/json"
# Answers with the resource itself, as GET would return it.
TAGGED: Mapping[str, Sequence[int]] = {"GET": (200,), "PATCH": (200,), "POST": (201,)}


class Meta(BaseModel):
    """Time, request id and API version of an answer; `warnings` only if there are any.

    `trace_id`: of its trace, if the operator collects traces.
    """

    timestamp: datetime
    request_id: str
    version: str
    trace_id: str | None = Field(default=None, exclude_if=lambda found: found is None)
    warnings: list[str] | None = Field(default=None, exclude_if=lambda found: found is None)


class Envelope(BaseModel, Generic[T]):
    """One resource."""

    success: Literal[True]
    status: int
    data: T
    meta: Meta


class Pagination(BaseModel):
    """The position of a page in the list.

    With a cursor the page number is unknown: `page`, `total` and `pages` are null. `total` beyond 10,000 is an
    estimate, and then `total_is_estimate` is true.
    """

    page: int | None
    page_size: int
    total: int | None
    pages: int | None
    has_next: bool
    has_prev: bool
    total_is_estimate: bool
    next_cursor: str | None
    prev_cursor: str | None


class PageEnvelope(BaseModel, Generic[T]):
    """One page of resources."""

    success: Literal[True]
    status: int
    data: list[T]
    pagination: Pagination
    meta: Meta


class ErrorBody(BaseModel):
    """The error. `details` are faults by field for VALIDATION_ERROR, else facts, if there are any."""

    code: str
    message: str
    details: list[Fault] | None = Field(default=None, exclude_if=lambda found: found is None)


class ErrorEnvelope(BaseModel):
    """Every error."""

    success: Literal[False]
    status: int
    error: ErrorBody
    meta: Meta


class LimitedMeta(Meta):
    """Meta of a rate-limited request: seconds until the next one is allowed, and when that is."""

    retry_after: int
    limit_resets_at: datetime


class LimitedEnvelope(ErrorEnvelope):
    """The error of a rate-limited request."""

    meta: LimitedMeta


def meta_of(request: Request) -> Meta:
    """The meta part of the answer to a request."""
    return Meta(**_meta_values(request))


def _meta_values(request: Request) -> dict[str, Any]:
    """The values as a dict, without validation: they are built here."""
    values = {"timestamp": now(), "request_id": request.state.request_id, "version": API_VERSION}
    if trace_id := request.scope["state"].get("trace_id"):
        values["trace_id"] = trace_id
    warnings = deprecation.warnings(request.scope)
    return {**values, "warnings": warnings} if warnings else values


@dataclass(frozen=True)
class Prepared:
    """A resource for many requests: its JSON and its tag are computed once."""

    content: bytes
    tag: str

    @classmethod
    def of(cls, view: BaseModel) -> Self:
        """The view as `reply` would return it."""
        content = to_json(view)
        return cls(content, tag_of_json(content))

    @classmethod
    def shown_once(cls, view: BaseModel, later: BaseModel) -> Self:
        """A view that contains a secret, with the tag of the view that GET returns, which does not."""
        return cls(to_json(view), tag_of_json(to_json(later)))


def reply(
    request: Request,
    data: Any,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """One resource in its envelope, with its ETag; 304 for a GET that names it in `If-None-Match`."""
    prepared = data if isinstance(data, Prepared) else None
    content = prepared.content if prepared else to_json(data)
    told = dict(headers or {})
    if isinstance(data, BaseModel | Prepared) and status in TAGGED.get(request.method, ()):
        told["ETag"] = prepared.tag if prepared else tag_of_json(content)
        if request.method == "GET" and unchanged(request, told["ETag"]):
            return Response(status_code=304, headers=told)
    # Assembled by hand: the resource is serialized once, for its tag and for the answer.
    meta = to_json(_meta_values(request))
    body = b'{"success":true,"status":%d,"data":%b,"meta":%b}' % (status, content, meta)
    return Response(body, status_code=status, headers=told, media_type=JSON)


def reply_page(request: Request, page: Page[Any], data: Sequence[BaseModel]) -> Response:
    """One page of resources in its envelope, with `Link` headers to the others."""
    pagination = _pagination(page)
    envelope = PageEnvelope[Any](
        success=True, status=200, data=list(data), pagination=pagination, meta=meta_of(request)
    )
    base = request.app.state.parts.settings.base_url
    return json_response(envelope, 200, {"Link": list_links(request, base, _neighbours(pagination))})


def _pagination(page: Page[Any]) -> Pagination:
    size, at_cursor = page.request.page_size, page.request.cursor is not None
    number = page.request.page
    return Pagination(
        page=None if at_cursor else number,
        page_size=size,
        total=page.total,
        pages=None if page.total is None else -(-page.total // size),
        has_next=page.next_cursor is not None,
        has_prev=page.previous_cursor is not None if at_cursor else number > 1 and bool(page.total),
        total_is_estimate=page.total_is_estimate,
        next_cursor=page.next_cursor.token() if page.next_cursor else None,
        prev_cursor=page.previous_cursor.token() if page.previous_cursor else None,
    )


def _neighbours(here: Pagination) -> dict[str, dict[str, object]]:
    """The other pages by relation. The last page of an estimated total is unknown."""
    found: dict[str, dict[str, object]] = {"first": {} if here.page is None else {"page": 1}}
    if here.page is None or here.pages is None:
        for relation, cursor in (("prev", here.prev_cursor), ("next", here.next_cursor)):
            if cursor:
                found[relation] = {"cursor": cursor}
        return found
    if here.has_prev:
        found["prev"] = {"page": here.page - 1 if here.total_is_estimate else min(here.page - 1, here.pages)}
    if here.has_next:
        found["next"] = {"page": here.page + 1}
    if here.pages and not here.total_is_estimate:
        found["last"] = {"page": here.pages}
    return found


def json_response(
    body: BaseModel, status: int, headers: Mapping[str, str] | None = None, *, media_type: str = JSON
) -> Response:
    """A model as JSON."""
    return Response(body.model_dump_json(), status_code=status, headers=dict(headers or {}), media_type=media_type)
