"""Timestamps in queries."""

import re
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Query
from pydantic import AfterValidator, AwareDatetime, BeforeValidator

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


def _written_out(value: object) -> object:
    """Pydantic would accept numbers as seconds since 1970."""
    if isinstance(value, str) and not _MOMENT.fullmatch(value):
        raise ValueError("must be a moment with its offset from UTC, such as 2026-01-31T00:00:00Z")
    return value


def _in_utc(moment: datetime | None) -> datetime | None:
    """Near the calendar's ends an offset can leave its range."""
    try:
        return moment and moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("must be a moment between the years 1 and 9999 in UTC") from error


Moment = Annotated[
    AwareDatetime | None,
    BeforeValidator(_written_out),
    AfterValidator(_in_utc),
    Query(description="with its offset from UTC, such as 2026-01-31T00:00:00Z"),
]
