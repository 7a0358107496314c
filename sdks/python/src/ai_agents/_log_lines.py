"""Lines of logs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class LogLine:
    """One line of a log. Control sequences are in it as they were printed: remove them before a terminal sees them."""

    text: str
    step: str | None = None
    """Of a build or an operation: where it was printed."""
    instance: str | None = None
    """Of a deployment: who printed it."""
    time: str | None = None
    """Of a deployment: when, as RFC 3339."""


def lines_of(data: str) -> Iterator[LogLine]:
    """The lines that an event carries; what is none is left out."""
    try:
        found = json.loads(data)
    except ValueError:
        return
    for one in found.get("lines", ()) if isinstance(found, dict) else ():  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        if isinstance(one, dict):
            line: dict[str, Any] = one  # pyright: ignore[reportUnknownVariableType]
            yield LogLine(str(line.get("text", "")), line.get("step"), line.get("instance"), line.get("time"))
