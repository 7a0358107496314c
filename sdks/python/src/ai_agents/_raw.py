"""Answers as they came."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from ai_agents._answers import Answer

T = TypeVar("T")


class RawResponse(Generic[T]):
    """An answer of `with_raw_response`.

    Attributes:
        status: its HTTP status.
        headers: with names in lower case.
        content: the body.
    """

    def __init__(self, answer: Answer, parse: Callable[[], T]) -> None:
        self.status = answer.status
        self.headers: Mapping[str, str] = answer.headers
        self.content = answer.content
        self._answer = answer
        self._parse = parse

    @property
    def request_id(self) -> str | None:
        """What to tell the operators."""
        return self.headers.get("x-request-id")

    @property
    def text(self) -> str:
        """The body as text."""
        return self._answer.text

    def json(self) -> Any:
        """The whole body, with its envelope."""
        return self._answer.json()

    def parsed(self) -> T:
        """What the method gives back otherwise."""
        return self._parse()

    def __repr__(self) -> str:
        return f"RawResponse(status={self.status}, request_id={self.request_id!r})"
