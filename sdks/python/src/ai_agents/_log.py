"""What the SDK logs, at DEBUG, under `ai_agents`: addresses, statuses, times and ids; no headers, no bodies."""

from __future__ import annotations

import logging

log = logging.getLogger("ai_agents")
