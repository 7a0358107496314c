"""Positions in a list: the row and the order. Opaque to clients, and validated when they come back."""

import binascii
import json
from base64 import b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from domain.errors import CallerError

MAX_TOKEN = 4096
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LARGEST = 2**52  # microseconds: the year 2112
_LARGEST_INT = 2**31 - 1

Value = str | int | datetime


class CursorError(CallerError):
    """A cursor that we did not issue, or not for this list."""


@dataclass(frozen=True)
class Cursor:
    """The position after a row (`backward`: before it) of a list sorted by a column and then by id."""

    sort_by: str
    descending: bool
    value: Value
    row_id: UUID
    backward: bool = False

    def token(self) -> str:
        """The form that clients get."""
        parts = [self.sort_by, int(self.descending), int(self.backward), *_tagged(self.value), self.row_id.hex]
        text = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
        return urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, token: str) -> "Cursor":
        """Decode a token.

        Raises:
            CursorError: it differs from our tokens in any character.
        """
        try:
            cursor = cls._read(token)
            if cursor.token() == token:
                return cursor
        except (ValueError, TypeError, OverflowError, RecursionError, binascii.Error):
            pass
        raise CursorError("is not a cursor that this list gave; start again without one")

    @classmethod
    def _read(cls, token: str) -> "Cursor":
        if len(token) > MAX_TOKEN:
            raise ValueError(token)
        text = b64decode(token + "=" * (-len(token) % 4), altchars="-_", validate=True).decode()
        sort_by, descending, backward, kind, value, row_id = json.loads(text)
        return cls(str(sort_by), bool(descending), _value(kind, value), UUID(hex=row_id), bool(backward))


def _tagged(value: Value) -> tuple[str, Any]:
    if isinstance(value, datetime):
        return "t", (value - _EPOCH) // _MICROSECOND
    return ("i", int(value)) if isinstance(value, int) else ("s", str(value))


def _value(kind: object, value: Any) -> Value:
    if kind == "t" and type(value) is int and 0 <= value < _LARGEST:
        return _EPOCH + value * _MICROSECOND
    if kind == "i" and type(value) is int and abs(value) <= _LARGEST_INT:
        return value
    if kind == "s" and type(value) is str and "\x00" not in value:
        return value
    raise ValueError(kind)
