"""The model of a webhook's event, by its name."""

from __future__ import annotations

from typing import Any

from ai_agents.models import EVENTS, UnknownEvent, WebhookEvent


def event_of(data: dict[str, Any]) -> WebhookEvent:
    """The event; one that this version does not know is an `UnknownEvent`, with all that it has."""
    return EVENTS.get(str(data.get("event")), UnknownEvent).of(data)
