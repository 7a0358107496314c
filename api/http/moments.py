"""Moments in queries."""

import re
from typing import Annotated

from fastapi import Query
from pydantic import AwareDatetime, BeforeValidator

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


def _written_out(value: object) -> object:
    """Pydantic would take numbers for seconds since 1970."""
    if isinstance(value, str) and not _MOMENT.fullmatch(value):
        raise ValueError("must be a moment with its offset from UTC, such as 2026-01-31T00:00:00Z")
    return value


Moment = Annotated[
    AwareDatetime | None,
    BeforeValidator(_written_out),
    Query(description="with its offset from UTC, such as 2026-01-31T00:00:00Z"),
]
