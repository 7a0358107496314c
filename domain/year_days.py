"""The days of a year as the bits of an integer. A part of a rule is a mask; "and" combines them.

A year takes a few operations on such numbers for any rule, so no rule can be slow.
"""

import calendar
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import accumulate, pairwise

WEEK = 7
MONTHS = 12
MIDDLE_OF_A_WEEK = 3  # a week belongs to the year of its fourth day


def days_in(year: int) -> int:
    """365 or 366."""
    return 366 if calendar.isleap(year) else 365


def span(first: int, count: int) -> int:
    """`count` bits from `first` on."""
    return ((1 << count) - 1) << first


def every(first: int, step: int, end: int) -> int:
    """The bits `first`, `first + step`, ... below `end`."""
    count = len(range(first, end, step))
    return ((1 << count * step) - 1) // ((1 << step) - 1) << first


def bits(mask: int) -> Iterator[int]:
    """The numbers of the set bits, in order."""
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest


@lru_cache(maxsize=512)
def month_starts(year: int) -> tuple[int, ...]:
    """The first days of the twelve months, and of the next year."""
    lengths = (calendar.monthrange(year, month)[1] for month in range(1, MONTHS + 1))
    return tuple(accumulate(lengths, initial=0))


def in_months(year: int, months: Iterable[int]) -> int:
    """All days of some months (1 to 12)."""
    starts = month_starts(year)
    return sum(span(starts[month - 1], starts[month] - starts[month - 1]) for month in set(months))


def numbered(days: Iterable[int], length: int) -> int:
    """Days of a period of `length` days, counted from 1, or with negative numbers from the end."""
    found = 0
    for day in days:
        if 1 <= abs(day) <= length:
            found |= 1 << (day - 1 if day > 0 else length + day)
    return found


def on_month_days(year: int, days: frozenset[int]) -> int:
    """Days of each month, counted from 1, or with negative numbers from the end."""
    mask = 0
    for start, end in pairwise(month_starts(year)):
        mask |= numbered(days, end - start) << start
    return mask


def on_weekdays(year: int, weekdays: Iterable[int]) -> int:
    """All days of the year that are one of the weekdays (0: Monday)."""
    first = calendar.weekday(year, 1, 1)
    mask = 0
    for weekday in set(weekdays):
        mask |= every((weekday - first) % WEEK, WEEK, days_in(year))
    return mask


def on_numbered_weekdays(year: int, start: int, end: int, wanted: Iterable[tuple[int, int]]) -> int:
    """The n-th such weekdays (n, weekday) from day `start` to before `end`; negative: from its end."""
    first = calendar.weekday(year, 1, 1)
    mask = 0
    for number, weekday in wanted:
        earliest = start + (weekday - first - start) % WEEK
        count = len(range(earliest, end, WEEK))
        if 1 <= abs(number) <= count:
            mask |= 1 << earliest + WEEK * (number - 1 if number > 0 else count + number)
    return mask


def in_weeks(year: int, numbers: frozenset[int], week_start: int) -> int:
    """The days in weeks with these numbers (ISO 8601, with any first day of a week), negative: from the last week on.

    The first and the last days of a year may be in weeks of the neighbouring years.
    """
    length, first = days_in(year), _first_week(year, week_start)
    mask = 0
    for start in range(first - WEEK if first > 0 else first, length, WEEK):
        if start < first:
            number = weeks = _weeks(year - 1, week_start)
        elif start + MIDDLE_OF_A_WEEK >= length:
            number, weeks = 1, _weeks(year + 1, week_start)
        else:
            number, weeks = (start - first) // WEEK + 1, _weeks(year, week_start)
        if number in numbers or number - weeks - 1 in numbers:
            mask |= span(max(start, 0), WEEK + min(start, 0))
    return mask & span(0, length)


def _first_week(year: int, week_start: int) -> int:
    """The first day of week 1; negative if it is in December."""
    before = (calendar.weekday(year, 1, 1) - week_start) % WEEK
    return -before if before <= MIDDLE_OF_A_WEEK else WEEK - before


def _weeks(year: int, week_start: int) -> int:
    """Number of weeks of a year: 52 or 53."""
    return (days_in(year) - _first_week(year, week_start) + _first_week(year + 1, week_start)) // WEEK
