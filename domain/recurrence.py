"""Parsed recurrence rules (RFC 5545, RRULE), checked part by part. Their occurrences: `occurrences.py`."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self
from zoneinfo import ZoneInfo

MAX_RULE = 500
MAX_COUNT = 10_000
MAX_INTERVAL = 1_000
WEEKDAYS_OF = {"MONTHLY": 5, "YEARLY": 53}  # maximum occurrences of a weekday in one period, as in BYDAY=-1FR
MAX_MINUTES = 4  # maximum number of values of BYMINUTE
HOURS = 24

FREQUENCIES = ("HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY")
WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
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


@dataclass(frozen=True)
class Rule:
    """A rule's parts; an empty one does not restrict, or is taken from the start.

    `days`: (number, weekday from 0 for Monday); the number 0 means every such weekday.
    """

    frequency: str
    interval: int = 1
    count: int | None = None
    until: tuple[datetime, bool] | None = None
    months: frozenset[int] = frozenset()
    month_days: frozenset[int] = frozenset()
    year_days: frozenset[int] = frozenset()
    weeks: frozenset[int] = frozenset()
    days: frozenset[tuple[int, int]] = frozenset()
    positions: frozenset[int] = frozenset()
    hours: frozenset[int] = frozenset()
    minutes: frozenset[int] = frozenset()
    week_start: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises `ValueError` with the fault."""
        parts = parse_rule(text)

        def numbers(name: str) -> frozenset[int]:
            return frozenset(map(int, parts[name].split(","))) if name in parts else frozenset()

        return cls(
            frequency=parts["FREQ"],
            interval=int(parts.get("INTERVAL", "1")),
            count=int(parts["COUNT"]) if "COUNT" in parts else None,
            until=_parse_until(parts["UNTIL"]) if "UNTIL" in parts else None,
            months=numbers("BYMONTH"),
            month_days=numbers("BYMONTHDAY"),
            year_days=numbers("BYYEARDAY"),
            weeks=numbers("BYWEEKNO"),
            days=frozenset(_day(day) for day in parts["BYDAY"].split(",")) if "BYDAY" in parts else frozenset(),
            positions=numbers("BYSETPOS"),
            hours=numbers("BYHOUR"),
            minutes=numbers("BYMINUTE"),
            week_start=WEEKDAYS.index(parts.get("WKST", "MO")),
        )

    def last(self, zone: ZoneInfo) -> datetime | None:
        """The last local time allowed by UNTIL."""
        if self.until is None:
            return None
        moment, is_utc = self.until
        return moment.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None) if is_utc else moment

    @property
    def times_a_day(self) -> int:
        """The maximum number of occurrences on one day."""
        hours = len(self.hours) or 1
        if self.frequency == "HOURLY":
            hours = min(len(self.hours) or HOURS, -(-HOURS // self.interval))
        return hours * (len(self.minutes) or 1)


def _day(text: str) -> tuple[int, int]:
    return int(text[:-2] or "0"), WEEKDAYS.index(text[-2:])


def parse_rule(text: str) -> dict[str, str]:
    """The parts of a rule by name, each checked; raises `ValueError` with the fault."""
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
    for name, what in (("INTERVAL", "number"), ("COUNT", "number"), ("WKST", "day")):
        if "," in parts.get(name, ""):
            raise ValueError(f"{name} must be one {what}")


def _check_numbered_days(frequency: str, days: str) -> None:
    numbers = [int(number) for number in re.findall("[0-9]+", days)]
    most = WEEKDAYS_OF.get(frequency)
    if numbers and most is None:
        raise ValueError(f"BYDAY with a number makes no sense with FREQ={frequency}")
    if not all(1 <= number <= (most or 0) for number in numbers):
        raise ValueError(f"BYDAY with FREQ={frequency} counts from 1 to {most}, or from the end from -1 to -{most}")


def _parse_until(value: str) -> tuple[datetime, bool]:
    """The last moment, and whether it is UTC; a date alone includes the whole day."""
    match = re.fullmatch(r"([0-9]{8})(?:T([0-9]{6})(Z?))?", value)
    try:
        moment = datetime.strptime(f"{match[1]}{match[2] or '235959'}", "%Y%m%d%H%M%S") if match else None  # noqa: DTZ007 - local
    except ValueError:
        moment = None
    if match is None or moment is None:
        raise ValueError("UNTIL must be a date such as 20261231, 20261231T180000 (local) or 20261231T170000Z (UTC)")
    return moment, bool(match[3])
