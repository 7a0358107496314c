"""Times and spans as people say them."""

from datetime import UTC, datetime


def span(seconds: float | None) -> str:
    """`8 s`, `3 min 20 s`, `2 h 5 min`, `4 d`."""
    if seconds is None:
        return "-"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest and minutes < 10 else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours // 24} d"


def ago(text: str | None, now: datetime | None = None) -> str:
    """How long ago a time of the API was."""
    if not text:
        return "-"
    passed = ((now or datetime.now(UTC)) - datetime.fromisoformat(text)).total_seconds()
    return "now" if passed < 1 else f"{span(passed)} ago"


def local(text: str | None) -> str:
    """A time of the API on this machine's clock."""
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S") if text else "-"
