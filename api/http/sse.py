"""Server-sent events in their wire format."""

import json
from collections.abc import Mapping
from typing import Any

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from domain.errors import DeliveryError

RECONNECT_MS = 2000
KEEP_ALIVE = KEEPALIVE_COMMENT.decode()
RETRY = format_sse_event(retry=RECONNECT_MS).decode()


def event(name: str, data: Mapping[str, Any], mark: str | None = None) -> str:
    """One event; JSON contains no line feeds. `mark`: its id."""
    return format_sse_event(event=name, data_str=json.dumps(data), id=mark or None).decode()


def closed(fault: DeliveryError) -> str:
    """The last event for a client that has lost its permission."""
    return event("closed", {"code": fault.code, "message": fault.message})
