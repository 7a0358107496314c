"""Webhooks: what a delivery can be in, when it is tried again, when its endpoint is given up."""

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
    FAILING = "failing"  # nothing but failures for `GIVEN_UP_AFTER`


class DeliveryStatus(StrEnum):
    """Where a delivery stands. `failed`: so far, another attempt follows; `exhausted`: none follows."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    EXHAUSTED = "exhausted"


UNFINISHED: Final = (DeliveryStatus.PENDING, DeliveryStatus.FAILED)


class Trigger(StrEnum):
    """Why an event is delivered."""

    EVENT = "event"
    REPLAY = "replay"
    REDELIVERY = "redelivery"
    PING = "ping"


class WebhookEvent(StrEnum):
    """What an endpoint can ask for: `domain.events.EventType`, or `*` for all of them and those of later releases."""

    ANY = "*"
    vars().update({event.name: event.value for event in EventType})


# Sent to one endpoint when somebody asks for it.
PING: Final = "ping"

# Seconds from a failed attempt to the next one.
RETRIES_S: Final = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
# A pause is up to a tenth longer or shorter, so that what failed together does not come back together.
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
    """How long to wait after a failed attempt; None when it was the last one.

    Args:
        attempts: made so far, 1 or more.
        chance: from 0 to 1, for the jitter.
        asked: what the receiver's `Retry-After` asks for; never less than that, up to `LONGEST_ASKED`.
    """
    if attempts > len(RETRIES_S):
        return None
    wait = timedelta(seconds=RETRIES_S[attempts - 1] * (1 + JITTER * (2 * chance - 1)))
    return max(wait, min(asked or timedelta(), LONGEST_ASKED))


def parse_retry_after(value: str | None, now: datetime) -> timedelta | None:
    """What a `Retry-After` header asks for (RFC 9110, 10.2.3): seconds or a date; None when it says neither."""
    if value is None:
        return None
    if _DIGITS.fullmatch(value.strip()):
        return timedelta(seconds=int(value))
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):  # the latter for a year or an hour of very many digits
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(timedelta(), moment - now)


def is_given_up(failing_since: datetime | None, now: datetime) -> bool:
    """Whether an endpoint failed without a success for too long."""
    return failing_since is not None and now - failing_since >= GIVEN_UP_AFTER
