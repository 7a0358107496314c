"""Whether a try that failed is repeated, and when."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from datetime import datetime, timezone

from ai_agents._errors import AIAgentsError, APIConnectionError, APIError

FIRST_S = 0.5
MOST_S = 8.0
# What a server may ask us to wait. Longer is for the caller to decide.
PATIENCE_S = 60.0
# All tries of one call, with what is waited between them.
WHOLE_CALL_S = 600.0
STATUSES = frozenset({408, 429, 500, 502, 503, 504})
IN_PROGRESS = "IDEMPOTENCY_IN_PROGRESS"


class Tries:
    """Counts the tries of one call."""

    def __init__(self, max_retries: int) -> None:
        self._left = max_retries
        self._made = 0
        self._ends = time.monotonic() + WHOLE_CALL_S

    def pause(self, error: AIAgentsError, *, once: bool = False) -> float | None:
        """Seconds to wait before the next try; None: the error is the caller's.

        Args:
            error: of the last try.
            once: only if the server has certainly done nothing.
        """
        if self._left <= 0 or not _passes(error) or (once and not _has_done_nothing(error)):
            return None
        told = error.retry_after if isinstance(error, APIError) else None
        if told is not None and told > PATIENCE_S:
            return None
        backoff: float = min(MOST_S, FIRST_S * 2**self._made) * random.uniform(0.75, 1.0)  # noqa: S311 - no secret
        pause = backoff if told is None else told + random.uniform(0, 0.1)  # noqa: S311 - jitter
        if time.monotonic() + pause > self._ends:
            return None
        self._left -= 1
        self._made += 1
        return pause


def _passes(error: AIAgentsError) -> bool:
    """Whether the same request may work in a moment."""
    if isinstance(error, APIError):
        return error.status in STATUSES or (error.status == 409 and error.code == IN_PROGRESS)
    return isinstance(error, APIConnectionError) and error.retryable


def _has_done_nothing(error: AIAgentsError) -> bool:
    if isinstance(error, APIError):
        return error.status in {429, 503}
    return isinstance(error, APIConnectionError) and error.unsent


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds of `Retry-After`; a date counts from the answer's own `Date`: the server's clock may be wrong."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.isdecimal():
        return float(text)
    then = _date(text)
    if then is None:
        return None
    now = _date(headers.get("date", "")) or datetime.now(timezone.utc)
    return max(0.0, (then - now).total_seconds())


def _date(text: str) -> datetime | None:
    from email.utils import parsedate_to_datetime

    try:
        found = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)
