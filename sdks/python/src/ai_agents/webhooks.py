"""Verifies what webhooks send, without a client: `event = webhooks.verify(body, headers, secret)`."""

from __future__ import annotations

from ai_agents._webhooks import TOLERANCE_S, verify

__all__ = ["TOLERANCE_S", "verify"]
