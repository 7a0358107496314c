"""The contract's envelope around every answer."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from fastapi import Request, Response
from pydantic import BaseModel, Field
from pydantic_core import to_json

from api.tags import tag_of_json, unchanged
from api.version import API_VERSION
from runtime.ids import now
from storage.repositories.base import Page

T = TypeVar("T")
JSON = "application/json"
# What is answered there is the resource itself, as GET would answer it.
TAGGED: Mapping[str, Sequence[int]] = {"GET": (200,), "PATCH": (200,), "POST": (201,)}


class Meta(BaseModel):
    """When, under which id and by which version a request was answered."""

    timestamp: datetime
    request_id: str
    version: str


class Envelope(BaseModel, Generic[T]):
    """One resource."""

    success: Literal[True]
    status: int
    data: T
    meta: Meta


class Pagination(BaseModel):
    """Where a page stands among the others."""

    page: int
    page_size: int
    total: int
    pages: int
    has_next: bool
    has_prev: bool


class PageEnvelope(BaseModel, Generic[T]):
    """One page of resources."""

    success: Literal[True]
    status: int
    data: list[T]
    pagination: Pagination
    meta: Meta


class Fault(BaseModel):
    """One thing that is wrong with a request. `pointer` (RFC 6901) is set for faults in the body."""

    field: str
    message: str
    pointer: str | None
    code: str


class ErrorBody(BaseModel):
    """What went wrong. `details` is a list of faults for VALIDATION_ERROR, else facts by name."""

    code: str
    message: str
    details: list[Fault] | dict[str, Any] | None = Field(default=None, union_mode="left_to_right")


class ErrorEnvelope(BaseModel):
    """Every error."""

    success: Literal[False]
    status: int
    error: ErrorBody
    meta: Meta


def meta_of(request: Request) -> Meta:
    """The meta part of the answer to a request."""
    return Meta(timestamp=now(), request_id=request.state.request_id, version=API_VERSION)


def reply(
    request: Request,
    data: Any,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """One resource in its envelope, with its ETag; 304 for a GET that names it in `If-None-Match`."""
    content = to_json(data)
    told = dict(headers or {})
    if isinstance(data, BaseModel) and status in TAGGED.get(request.method, ()):
        told["ETag"] = tag_of_json(content)
        if request.method == "GET" and unchanged(request, told["ETag"]):
            return Response(status_code=304, headers=told)
    # Put together by hand: the resource is made into JSON once, for its tag and for the answer.
    meta = to_json(meta_of(request))
    body = b'{"success":true,"status":%d,"data":%b,"meta":%b}' % (status, content, meta)
    return Response(body, status_code=status, headers=told, media_type=JSON)


def reply_page(request: Request, page: Page[Any], data: Sequence[BaseModel]) -> Response:
    """One page of resources in its envelope."""
    size, number = page.request.page_size, page.request.page
    pages = -(-page.total // size)
    pagination = Pagination(
        page=number,
        page_size=size,
        total=page.total,
        pages=pages,
        has_next=number < pages,
        has_prev=number > 1 and page.total > 0,
    )
    envelope = PageEnvelope[Any](
        success=True, status=200, data=list(data), pagination=pagination, meta=meta_of(request)
    )
    return json_response(envelope, 200)


def json_response(body: BaseModel, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """A model as JSON."""
    return Response(body.model_dump_json(), status_code=status, headers=dict(headers or {}), media_type=JSON)
