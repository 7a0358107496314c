"""Webhooks: states of a delivery, the retry schedule, and when an endpoint is disabled."""

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Final

from domain.events import EventType


class EndpointStatus(StrEnum):
    """Whether an endpoint is sent events."""

    ENABLED = "enabled"
    DISABLED = "disabled"


class DisabledReason(StrEnum):
    """Why an endpoint was disabled."""

    BY_REQUEST = "by_request"
    GONE = "gone"  # it answered 410
    FAILING = "failing"  # only failures for `GIVEN_UP_AFTER`


class DeliveryStatus(StrEnum):
    """The state of a delivery. `failed`: another attempt follows; `exhausted`: none follows."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    EXHAUSTED = "exhausted"


UNFINISHED: Final = (DeliveryStatus.PENDING, DeliveryStatus.FAILED)


class Trigger(StrEnum):
    """The cause of a delivery."""

    EVENT = "event"
    REPLAY = "replay"
    REDELIVERY = "redelivery"
    PING = "ping"


class WebhookEvent(StrEnum):
    """The events to subscribe to: `domain.events.EventType`, or `*` for all of them and those of later releases."""

    ANY = "*"
    vars().update({event.name: event.value for event in EventType})


# Sent to one endpoint on request.
PING: Final = "ping"

# Seconds from a failed attempt to the next one.
RETRIES_S: Final = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
# Jitter of a tenth, so that deliveries that failed together are not retried together.
JITTER: Final = 0.1
LONGEST_ASKED: Final = timedelta(hours=24)
GIVEN_UP_AFTER: Final = timedelta(days=5)
SECRET_OVERLAP: Final = timedelta(hours=24)
KEPT: Final = timedelta(days=30)
GONE: Final = 410
_DIGITS: Final = re.compile(r"[0-9]{1,9}")


def is_success(status: int | None) -> bool:
    """Whether a delivery succeeded: any 2xx status."""
    return status is not None and 200 <= status < 300  # noqa: PLR2004 - RFC 9110, 15.3


def pause(attempts: int, chance: float, asked: timedelta | None = None) -> timedelta | None:
    """The delay after a failed attempt; None after the last one.

    Args:
        attempts: made so far, 1 or more.
        chance: from 0 to 1, for the jitter.
        asked: the receiver's `Retry-After`; the delay is at least this, up to `LONGEST_ASKED`.
    """
    if attempts > len(RETRIES_S):
        return None
    wait = timedelta(seconds=RETRIES_S[attempts - 1] * (1 + JITTER * (2 * chance - 1)))
    return max(wait, min(asked or timedelta(), LONGEST_ASKED))


def parse_retry_after(value: str | None, now: datetime) -> timedelta | None:
    """The delay of a `Retry-After` header (RFC 9110, 10.2.3): seconds or a date; None if it is neither."""
    if value is None:
        return None
    if _DIGITS.fullmatch(value.strip()):
        return timedelta(seconds=int(value))
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):  # the latter for a year or an hour with very many digits
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(timedelta(), moment - now)


def is_given_up(failing_since: datetime | None, now: datetime) -> bool:
    """Whether an endpoint has failed without a success for too long."""
    return failing_since is not None and now - failing_since >= GIVEN_UP_AFTER
