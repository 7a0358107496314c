"""What the misbehaving server is told to do: rules, and answers of each."""

import email.utils
import json
import time
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sdks.conformance.samples import META, merged, sample


class Strict(BaseModel):
    """What a scenario's file says: a key that nobody knows is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class StreamEvent(Strict):
    """One server-sent event; `data` is laid over the sample operation, unless it is text. Or a comment alone."""

    id: str | None = None
    event: str | None = None
    data: Any = None
    exact: bool = False
    comment: str | None = None


class Answer(Strict):
    """One answer, or what stands for one. At most one of the bodies.

    Attributes:
        data: laid over the example in the API's document, in the envelope; `exact`: as it is.
        page: the same for each of its items; `pagination` is laid over that of a single page.
        error: code, message, details, in the error's envelope.
        content: any JSON.
        text: any text.
        reset: the connection is reset, before the request was read, after that, or in the middle of the body.
        cut: only so many bytes of the body are sent, then the connection is closed.
        content_length: a wrong one.
        delay: seconds until it begins.
        gather: it waits until so many requests are waiting here, or `GATHER_S` seconds.
        retry_after: seconds, or {"date_in": seconds} by the clock of this answer's Date.
        clock: seconds by which this server's clock is wrong.
        events: a stream, which `ending` ends: well, by a reset, or never (`hold`: comments, until the scenario ends).
        keep_alive: the connection may be used again.
    """

    status: int = 200
    headers: Mapping[str, str] = Field(default_factory=dict)
    data: Any = None
    page: list[Any] | None = None
    pagination: Mapping[str, Any] = Field(default_factory=dict)
    error: Mapping[str, Any] | None = None
    content: Any = None
    text: str | None = None
    content_type: str | None = None
    exact: bool = False
    reset: Literal["before", "after", "inside"] | None = None
    cut: int | None = None
    content_length: int | None = None
    delay: float = 0
    gather: int = 0
    retry_after: float | Mapping[str, float] | None = None
    clock: float = 0
    events: list[StreamEvent] | None = None
    ending: Literal["close", "reset", "hold"] = "close"
    keep_alive: bool = False

    def body(self, verb: str, path: str) -> bytes:
        """The body to a request."""
        if self.text is not None:
            return self.text.encode()
        found = self._json(verb, path)
        return b"" if found is None else json.dumps(found).encode()

    def _json(self, verb: str, path: str) -> Any:
        if self.content is not None:
            return self.content
        if self.error is not None:
            return {"success": False, "status": self.status, "error": self.error, "meta": META}
        if self.status == 204 or ("data" not in self.model_fields_set and self.page is None):  # noqa: PLR2004
            return None
        whole = {"success": True, "status": self.status, "data": None, "meta": META}
        example = sample(verb, path.removeprefix("/v1"))
        if self.page is None:
            return {**whole, "data": self.data if self.exact else merged(example.get("data"), self.data)}
        first = (example.get("data") or [{}])[0]
        single = {"page": 1, "page_size": 20, "total": len(self.page), "pages": 1, "has_next": False, "has_prev": False}
        cursors = {"total_is_estimate": False, "next_cursor": None, "prev_cursor": None}
        items = [one if self.exact else merged(first, one) for one in self.page]
        return {**whole, "data": items, "pagination": {**single, **cursors, **self.pagination}}

    def all_headers(self) -> Iterator[tuple[str, str]]:
        """Headers but those about the connection and the length."""
        now = time.time() + self.clock
        given = {name.lower() for name in self.headers}
        if "date" not in given:
            yield "Date", email.utils.formatdate(now, usegmt=True)
        if isinstance(self.retry_after, Mapping):
            yield "Retry-After", email.utils.formatdate(now + self.retry_after["date_in"], usegmt=True)
        elif self.retry_after is not None:
            yield "Retry-After", f"{self.retry_after:g}"
        if "x-request-id" not in given:
            yield "X-Request-ID", str(META["request_id"])
        kind = "text/event-stream" if self.events is not None else "application/json"
        if "content-type" not in given:
            yield "Content-Type", self.content_type or kind
        yield from self.headers.items()


class Rule(Strict):
    """Answers to requests like `POST /v1/projects/*`, one after another; the last one goes on for ever.

    Attributes:
        to: method and path (without the query), where * is anything; "*": all.
        given: headers (lower case) that the request must have, with * too.
        query: parameters of the query that it must have.
    """

    to: str = "*"
    given: Mapping[str, str] = Field(default_factory=dict)
    query: Mapping[str, str] = Field(default_factory=dict)
    answers: list[Answer] = Field(min_length=1)

    @model_validator(mode="after")
    def _to_is_a_method_and_a_path(self) -> "Rule":
        if self.to != "*" and not self.to.partition(" ")[2].startswith(("/", "*")):
            raise ValueError(f"to: {self.to!r} is no method and path")
        return self

    def takes(self, verb: str, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> bool:
        """Whether it answers this request."""
        return (
            fnmatchcase(f"{verb} {path}", self.to)
            and all(fnmatchcase(headers.get(name, ""), wanted) for name, wanted in self.given.items())
            and all(query.get(name) == wanted for name, wanted in self.query.items())
        )
