"""Occurrences of a recurrence rule in local time, computed per year on bit masks of days: no rule is slow."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from domain import year_days
from domain.recurrence import HOURS, Rule

LAST_YEAR = 2110  # the last supported date

_DAY, _HOUR = timedelta(days=1), timedelta(hours=1)


def occurrences(rule: Rule, start: datetime, zone: ZoneInfo, *, since: datetime, until: datetime) -> Iterator[datetime]:
    """The local times at which a rule starting at `start` occurs, in order, from `since` to `until` (all local)."""
    series = Series(rule, start.replace(microsecond=0))
    ends = [end for end in (until, rule.last(zone), series.end_of_count()) if end is not None]
    first, last = max(since, series.start), min(ends)
    # A week that begins in December may have occurrences in January.
    for year in range(first.year - bool(rule.positions), min(last.year, LAST_YEAR) + 1):
        for moment in series.moments(year, first):
            if moment > last:
                return
            if moment >= first:
                yield moment


@dataclass(frozen=True)
class Slots:
    """Moments of a year: each set bit of `mask` is a unit of time, with the same offsets in each."""

    begin: datetime
    unit: timedelta
    mask: int
    offsets: tuple[timedelta, ...]

    def since(self, first: datetime) -> "Slots":
        """Without the units that end before `first`."""
        gone = max(0, (first - self.begin) // self.unit)
        return Slots(self.begin, self.unit, self.mask >> gone << gone, self.offsets)

    def moments(self) -> Iterator[datetime]:
        for bit in year_days.bits(self.mask):
            at = self.begin + bit * self.unit
            for offset in self.offsets:
                yield at + offset

    def __len__(self) -> int:
        return self.mask.bit_count() * len(self.offsets)


@dataclass(frozen=True)
class Series:
    """A rule with its first moment (local, whole seconds), from which unset parts are taken."""

    rule: Rule
    start: datetime

    def end_of_count(self) -> datetime | None:
        """The last moment allowed by COUNT; None: no COUNT, or not reached in the supported time."""
        return _end_of_count(self) if self.rule.count is not None else None

    def moments(self, year: int, since: datetime) -> Iterator[datetime]:
        """The moments of a year in order, at least all from `since` on."""
        return self._chosen(year) if self.rule.positions else self.slots(year).since(since).moments()

    def slots(self, year: int) -> Slots:
        """All moments of a year, before BYSETPOS and the start are applied."""
        begin, days = datetime(year, 1, 1), self.days(year)  # noqa: DTZ001 - local
        if self.rule.frequency == "HOURLY" and self.rule.interval > 1:
            return Slots(begin, _HOUR, self._hours(year, days), self._minutes())
        offsets = tuple(hour * _HOUR + minute for hour in sorted(self._hours_of_day()) for minute in self._minutes())
        return Slots(begin, _DAY, days, offsets)

    def days(self, year: int) -> int:
        """The days of a year on which it can occur, as a mask."""
        return _allowed(self.rule, year, self._defaults()) & self._in_step(year)

    def _defaults(self) -> tuple[frozenset[int], frozenset[int], frozenset[tuple[int, int]]]:
        """Months, days of the month and weekdays if the rule names no days."""
        rule, start = self.rule, self.start
        if rule.weeks or rule.year_days or rule.month_days or rule.days:
            return rule.months, rule.month_days, rule.days
        match rule.frequency:
            case "YEARLY":
                return rule.months or frozenset({start.month}), frozenset({start.day}), rule.days
            case "MONTHLY":
                return rule.months, frozenset({start.day}), rule.days
            case "WEEKLY":
                return rule.months, rule.month_days, frozenset({(0, start.weekday())})
        return rule.months, rule.month_days, rule.days

    def _in_step(self, year: int) -> int:
        """The days of the periods that INTERVAL selects."""
        rule, start, length = self.rule, self.start, year_days.days_in(year)
        if rule.interval == 1 or rule.frequency == "HOURLY":
            return year_days.span(0, length)
        before = datetime(year, 1, 1).toordinal() - start.toordinal()  # noqa: DTZ001 - local
        match rule.frequency:
            case "YEARLY":
                return 0 if (year - start.year) % rule.interval else year_days.span(0, length)
            case "MONTHLY":
                ahead = (year - start.year) * year_days.MONTHS - start.month
                months = [month for month in range(1, 13) if (ahead + month) % rule.interval == 0]
                return year_days.in_months(year, months)
            case "WEEKLY":
                step = year_days.WEEK * rule.interval
                gone = (before + (start.weekday() - rule.week_start) % year_days.WEEK) % step
                begins = year_days.every(0, step, length + gone)
                return begins * year_days.span(0, year_days.WEEK) >> gone & year_days.span(0, length)
        return year_days.every(-before % rule.interval, rule.interval, length)

    def _hours(self, year: int, days: int) -> int:
        """The hours of a year, if INTERVAL counts them from the start."""
        length = year_days.days_in(year)
        of_day = "".join("1" if hour in self._hours_of_day() else "0" for hour in reversed(range(HOURS)))
        spread = f"{days:0{length}b}".translate({ord("0"): "0" * HOURS, ord("1"): of_day})
        before = (datetime(year, 1, 1) - self.start.replace(minute=0, second=0)) // _HOUR  # noqa: DTZ001 - local
        step = self.rule.interval
        return int(spread, 2) & year_days.every(-before % step, step, length * HOURS)

    def _hours_of_day(self) -> frozenset[int]:
        if self.rule.frequency == "HOURLY":
            return self.rule.hours or frozenset(range(HOURS))
        return self.rule.hours or frozenset({self.start.hour})

    def _minutes(self) -> tuple[timedelta, ...]:
        minutes = sorted(self.rule.minutes or {self.start.minute})
        return tuple(timedelta(minutes=minute, seconds=self.start.second) for minute in minutes)

    def _chosen(self, year: int) -> Iterator[datetime]:
        """The moments that BYSETPOS selects in each period that begins in the year."""
        slots = self.slots(year)
        for mask in self._periods(year, slots.mask):
            days = list(year_days.bits(mask))
            among, times = len(days) * len(slots.offsets), len(slots.offsets)
            picked = {(at - 1 if at > 0 else among + at) for at in self.rule.positions if 1 <= abs(at) <= among}
            for index in sorted(picked):
                yield slots.begin + days[index // times] * _DAY + slots.offsets[index % times]

    def _periods(self, year: int, days: int) -> Iterator[int]:
        if self.rule.frequency == "YEARLY":
            yield days
        elif self.rule.frequency == "MONTHLY":
            for month in range(1, year_days.MONTHS + 1):
                yield days & year_days.in_months(year, (month,))
        else:
            length = year_days.days_in(year)
            days |= self.days(year + 1) << length
            first = (self.rule.week_start - datetime(year, 1, 1).weekday()) % year_days.WEEK  # noqa: DTZ001 - local
            for begin in range(first, length, year_days.WEEK):
                yield days & year_days.span(begin, year_days.WEEK)


@lru_cache(maxsize=4096)
def _allowed(rule: Rule, year: int, named: tuple[frozenset[int], frozenset[int], frozenset[tuple[int, int]]]) -> int:
    """The days of a year that match all parts which name days."""
    months, month_days, days = named
    length = year_days.days_in(year)
    mask = year_days.in_months(year, months) if months else year_days.span(0, length)
    if month_days:
        mask &= year_days.on_month_days(year, month_days)
    if rule.year_days:
        mask &= year_days.numbered(rule.year_days, length)
    if rule.weeks:
        mask &= year_days.in_weeks(year, rule.weeks, rule.week_start)
    if days:
        mask &= _weekdays(rule, year, months, days)
    return mask


def _weekdays(rule: Rule, year: int, months: frozenset[int], days: frozenset[tuple[int, int]]) -> int:
    """Numbers count within the month if the rule is monthly or names months, else within the year."""
    mask = year_days.on_weekdays(year, (weekday for number, weekday in days if number == 0))
    wanted = [day for day in days if day[0] != 0]
    if not wanted:
        return mask
    starts = year_days.month_starts(year)
    if rule.frequency == "MONTHLY" or months:
        ranges = [(starts[month - 1], starts[month]) for month in months or range(1, year_days.MONTHS + 1)]
    else:
        ranges = [(starts[0], starts[-1])]
    for start, end in ranges:
        mask |= year_days.on_numbered_weekdays(year, start, end, wanted)
    return mask


@lru_cache(maxsize=4096)
def _end_of_count(series: Series) -> datetime | None:
    left = series.rule.count or 0
    for year in range(series.start.year - bool(series.rule.positions), LAST_YEAR):
        if not series.rule.positions and year > series.start.year:
            slots = series.slots(year)
            if len(slots) < left:
                left -= len(slots)
                continue
        for moment in series.moments(year, series.start):
            left -= moment >= series.start
            if left == 0:
                return moment
    return None
