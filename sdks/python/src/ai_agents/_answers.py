"""What came back: the envelope opened, errors made, deprecations told."""

from __future__ import annotations

import json
import sys
import threading
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ai_agents._calls import Call
from ai_agents._errors import APIDeprecationWarning, APIError, InvalidResponseError, of_status
from ai_agents._retries import PATIENCE_S, retry_after
from ai_agents._types import Json

if TYPE_CHECKING:
    from ai_agents._model import Model

    M = TypeVar("M", bound=Model)
else:
    M = TypeVar("M")

EXCERPT = 200


@dataclass(frozen=True)
class Answer:
    """An answer whose body has been read."""

    call: Call
    status: int
    headers: Mapping[str, str]
    """With names in lower case."""
    content: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.content.decode(errors="replace")

    def json(self) -> Any:
        """The body.

        Raises:
            InvalidResponseError: It is no JSON.
        """
        try:
            return json.loads(self.content)
        except ValueError:
            raise self.invalid("is no JSON") from None

    def envelope(self) -> Json:
        """The body, which has `data`.

        Raises:
            InvalidResponseError: It has none.
        """
        found = self.json()
        if not isinstance(found, dict) or "data" not in found:
            raise self.invalid("is no answer of the API")
        return found  # pyright: ignore[reportUnknownVariableType]

    def model(self, data: Any, kind: type[M]) -> M:
        """The data as a model.

        Raises:
            InvalidResponseError: It is no object.
        """
        if not isinstance(data, dict):
            raise self.invalid(f"is no {kind.__name__}")
        return kind.of(data)  # pyright: ignore[reportUnknownArgumentType]

    def invalid(self, what: str) -> InvalidResponseError:
        """The error that says what was found instead."""
        kind = self.headers.get("content-type", "no content type")
        message = (
            f"{self.call.name}: the answer {what}: status {self.status}, {kind}: {self._excerpt()!r}. "
            "Is base_url the API's, and is there a proxy between?"
        )
        return InvalidResponseError(message, status=self.status, content_type=kind, excerpt=self._excerpt())

    def _excerpt(self) -> str:
        return self.text[:EXCERPT]

    def error(self) -> APIError:
        """The error that an answer with an error status is."""
        body = self._error_body()
        code = body.get("code") if body else None
        told = retry_after(self.headers)
        return _class_of(code, self.status)(
            self._words(body, told),
            status=self.status,
            code=code if isinstance(code, str) else None,
            details=_details(body),
            request_id=self.headers.get("x-request-id"),
            retry_after=told,
            headers=self.headers,
        )

    def _error_body(self) -> Json | None:
        try:
            found = json.loads(self.content)
        except ValueError:
            return None
        error = found.get("error") if isinstance(found, dict) else None  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        return error if isinstance(error, dict) and "code" in error else None  # pyright: ignore[reportUnknownVariableType]

    def _words(self, body: Json | None, told: float | None) -> str:
        if body is not None:
            words = f"{body.get('message') or body['code']}{_faults(body)}"
        else:
            kind = self.headers.get("content-type", "no content type")
            words = f"status {self.status}, and no answer of the API but {kind}: {self._excerpt()!r}"
        if told is not None and told > PATIENCE_S:
            words += f" (not tried again: the server says to wait {told:.0f} s)"
        return f"{self.call.name}: {words}"


def _faults(body: Json) -> str:
    faults = [f"{one['field']}: {one['message']}" for one in _details(body) if one.get("field") and one.get("message")]
    return f" ({'; '.join(faults[:5])}{'; ...' if len(faults) > 5 else ''})" if faults else ""


def _details(body: Json | None) -> list[Json]:
    found = body.get("details") if body else None
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []  # pyright: ignore[reportUnknownVariableType]


def _class_of(code: Any, status: int) -> type[APIError]:
    from ai_agents.errors import BY_CODE

    found, usual = BY_CODE.get(code, (None, 0)) if isinstance(code, str) else (None, 0)
    return found if found is not None and usual == status else of_status(status)


def error_of_code(code: str, message: str, call: Call) -> APIError:
    """An error that a stream told of, with the status that its code has otherwise."""
    from ai_agents.errors import BY_CODE

    found, status = BY_CODE.get(code, (APIError, 0))
    return found(f"{call.name}: {message}", status=status, code=code)


_told: set[str] = set()
_telling = threading.Lock()


def warn_if_deprecated(call: Call, headers: Mapping[str, str]) -> None:
    """Warn of what the server says will go away, once for each operation."""
    if not ("deprecation" in headers or "sunset" in headers):
        return
    with _telling:
        if call.name in _told:
            return
        _told.add(call.name)
    sunset = headers.get("sunset")
    until = f"; it will be gone on {sunset}" if sunset else ""
    link = f" ({headers['link']})" if "link" in headers else ""
    words = f"{call.name} ({call.verb} {call.path}), or a part of it, is deprecated{until}{link}"
    warnings.warn(words, APIDeprecationWarning, stacklevel=_depth_of_caller())


def _depth_of_caller() -> int:
    """How far up the first frame is that is not of this package."""
    depth, frame = 1, sys._getframe(1)  # noqa: SLF001 - the caller's frame, as warnings does
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("ai_agents"):
        depth, frame = depth + 1, frame.f_back
    return depth
