"""New ids and the present time: the only two things the domain takes as arguments."""

from datetime import UTC, datetime
from uuid import UUID

import uuid_utils.compat


def new_id() -> UUID:
    """A UUIDv7 (RFC 9562): sorts by time of creation."""
    return uuid_utils.compat.uuid7()


def now() -> datetime:
    """The present time in UTC."""
    return datetime.now(UTC)
