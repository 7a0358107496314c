"""Recurrence rules (RFC 5545, RRULE) in local time, by dateutil; with limits, so that no rule runs away."""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from dateutil.rrule import rrulestr

MAX_RULE = 500
MAX_COUNT = 10_000
MAX_INTERVAL = 1_000
WEEKDAYS_OF = {"MONTHLY": 5, "YEARLY": 53}  # how often a weekday can occur in one period, as in BYDAY=-1FR
MAX_MINUTES = 4  # values of BYMINUTE: with 24 hours at most 96 occurrences a day

STEPS: Mapping[str, timedelta] = {
    "HOURLY": timedelta(hours=1),
    "DAILY": timedelta(days=1),
    "WEEKLY": timedelta(weeks=1),
}
FREQUENCIES = (*STEPS, "MONTHLY", "YEARLY")
RANGES: Mapping[str, tuple[int, int]] = {
    "BYMINUTE": (0, 59),
    "BYHOUR": (0, 23),
    "BYMONTHDAY": (-31, 31),
    "BYYEARDAY": (-366, 366),
    "BYWEEKNO": (-53, 53),
    "BYMONTH": (1, 12),
    "BYSETPOS": (-366, 366),
    "INTERVAL": (1, MAX_INTERVAL),
    "COUNT": (1, MAX_COUNT),
}
_DAY = re.compile(r"([+-]?[0-9]{1,2})?(MO|TU|WE|TH|FR|SA|SU)")

# dateutil looks for the next occurrence of a rule that never matches (30 February) until the year 9999, for seconds.
# The Gregorian calendar repeats itself every 400 years, weekdays and all: rules are looked up close to the end of time.
_SHIFT_YEARS = 19 * 400


def parse_rule(text: str) -> dict[str, str]:
    """The parts of a rule by name, checked one by one; raises `ValueError` saying what is wrong."""
    parts: dict[str, str] = {}
    for part in text.strip().upper().removeprefix("RRULE:").split(";"):
        name, _, value = part.partition("=")
        if name in parts:
            raise ValueError(f"{name} stands there twice")
        _check_part(name, value)
        parts[name] = value
    _check_whole(parts)
    return parts


def _check_part(name: str, value: str) -> None:
    if name == "FREQ":
        if value not in FREQUENCIES:
            raise ValueError(f"FREQ must be one of {', '.join(FREQUENCIES)}")
    elif name == "UNTIL":
        _parse_until(value)
    elif name == "BYDAY":
        _check_all(name, value, lambda day: _DAY.fullmatch(day) is not None, "days such as MO or -1FR")
    elif name == "WKST":
        _check_all(name, value, lambda day: day in ("MO", "SU"), "MO or SU")
    elif name in RANGES:
        low, high = RANGES[name]
        _check_all(name, value, lambda number: _in_range(number, low, high), f"numbers from {low} to {high}")
    else:
        raise ValueError(f"{name[:20] or 'an empty part'} is not supported; a rule looks like FREQ=WEEKLY;BYDAY=SA,SU")


def _check_all(name: str, value: str, good: Callable[[str], bool], wanted: str) -> None:
    if not all(good(one) for one in value.split(",")):
        raise ValueError(f"{name} must be {wanted}")


def _in_range(text: str, low: int, high: int) -> bool:
    signed = re.fullmatch(r"[+-]?[0-9]{1,5}", text) is not None
    return signed and low <= int(text) <= high and (int(text) != 0 or low == 0)


def _check_whole(parts: Mapping[str, str]) -> None:
    frequency = parts.get("FREQ")
    if frequency is None:
        raise ValueError("FREQ is missing")
    if "COUNT" in parts and "UNTIL" in parts:
        raise ValueError("COUNT and UNTIL exclude each other")
    if len(parts.get("BYMINUTE", "").split(",")) > MAX_MINUTES:
        raise ValueError(f"BYMINUTE may have at most {MAX_MINUTES} values")
    if "BYSETPOS" in parts and frequency in ("HOURLY", "DAILY"):
        raise ValueError(f"BYSETPOS makes no sense with FREQ={frequency}")
    _check_numbered_days(frequency, parts.get("BYDAY", ""))
    for name in ("INTERVAL", "COUNT"):
        if "," in parts.get(name, ""):
            raise ValueError(f"{name} must be one number")


def _check_numbered_days(frequency: str, days: str) -> None:
    numbers = [int(number) for number in re.findall("[0-9]+", days)]
    most = WEEKDAYS_OF.get(frequency)
    if numbers and most is None:
        raise ValueError(f"BYDAY with a number makes no sense with FREQ={frequency}")
    if not all(1 <= number <= (most or 0) for number in numbers):
        raise ValueError(f"BYDAY with FREQ={frequency} counts from 1 to {most}, or from the end from -1 to -{most}")


def _parse_until(value: str) -> tuple[datetime, bool]:
    """The last moment, and whether it is UTC; a date alone means all of that day."""
    match = re.fullmatch(r"([0-9]{8})(?:T([0-9]{6})(Z?))?", value)
    try:
        moment = datetime.strptime(f"{match[1]}{match[2] or '235959'}", "%Y%m%d%H%M%S") if match else None  # noqa: DTZ007 - local
    except ValueError:
        moment = None
    if match is None or moment is None:
        raise ValueError("UNTIL must be a date such as 20261231, 20261231T180000 (local) or 20261231T170000Z (UTC)")
    return moment, bool(match[3])


def occurrences(text: str, start: datetime, zone: ZoneInfo, *, since: datetime, until: datetime) -> Iterator[datetime]:
    """The local times at which a rule that begins at `start` occurs, in order, from `since` to `until` (all local).

    Raises:
        ValueError: the rule makes no sense; with one that parsed before, at the first value at the earliest.
    """
    parts = parse_rule(text)
    last = min(until, _until(parts, zone) or until)
    first = start if "COUNT" in parts else _advanced(parts, start, since)
    rest = ";".join(f"{name}={value}" for name, value in parts.items() if name != "UNTIL")
    for found in rrulestr(rest, dtstart=first.replace(year=first.year + _SHIFT_YEARS)):
        occurrence = found.replace(year=found.year - _SHIFT_YEARS)
        if occurrence > last:
            return
        if occurrence >= since:
            yield occurrence


def _until(parts: Mapping[str, str], zone: ZoneInfo) -> datetime | None:
    if "UNTIL" not in parts:
        return None
    moment, is_utc = _parse_until(parts["UNTIL"])
    return moment.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None) if is_utc else moment


def _advanced(parts: Mapping[str, str], start: datetime, since: datetime) -> datetime:
    """A later start with the same occurrences from `since` on, so that years of hours need not be counted."""
    step = STEPS.get(parts["FREQ"])
    if step is None or since <= start:
        return start
    step *= int(parts.get("INTERVAL", "1"))
    return start + step * ((since - start) // step)
