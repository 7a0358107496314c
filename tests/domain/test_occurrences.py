"""Occurrences against dateutil, which follows the same RFC in another way, and weeks against the calendar."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.occurrences import occurrences
from domain.recurrence import WEEKDAYS, Rule
from domain.year_days import bits, days_in, in_weeks
from tests.support.deep import by_depth

UTC_ZONE = ZoneInfo("UTC")
END = datetime(2026, 3, 1)  # noqa: DTZ001 - local


def numbers(low: int, high: int, most: int = 6):
    return st.lists(st.integers(low, high).filter(lambda n: n or not low), unique=True, min_size=1, max_size=most).map(
        lambda found: ",".join(map(str, found))
    )


DAYS = st.lists(st.sampled_from(WEEKDAYS), unique=True, min_size=1).map(",".join)
NUMBERED = st.lists(
    st.builds("{}{}".format, st.sampled_from((-2, -1, 1, 2, 5)), st.sampled_from(WEEKDAYS)), min_size=1, max_size=4
).map(",".join)
# Not weeks 52 and 53 and none from the end: dateutil takes the first days of January for the wrong one of them.
WEEKS = numbers(1, 51, 20)


@st.composite
def rules(draw) -> str:
    frequency = draw(st.sampled_from(("HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY")))
    long = frequency in ("MONTHLY", "YEARLY")
    parts = {
        "INTERVAL": st.integers(1, 30),
        "BYMONTH": numbers(1, 12),
        "BYMONTHDAY": numbers(-31, 31, 12),
        "BYYEARDAY": numbers(-366, 366, 40),
        "BYWEEKNO": WEEKS,
        "BYDAY": NUMBERED | DAYS if long else DAYS,
        "BYHOUR": numbers(0, 23),
        "BYMINUTE": numbers(0, 59, 3),
        "WKST": st.sampled_from(("MO", "SU")),
        "COUNT": st.integers(1, 300),
        **({"BYSETPOS": numbers(-5, 5, 3)} if long else {}),
    }
    chosen = draw(st.lists(st.sampled_from(sorted(parts)), unique=True, max_size=4))
    return ";".join([f"FREQ={frequency}", *(f"{name}={draw(parts[name])}" for name in chosen)])


SHIFT = 19 * 400  # the calendar repeats itself; in late years dateutil, which goes on until 9999, is done sooner


def by_dateutil(rule: str, start: datetime, since: datetime) -> list[datetime]:
    late = [moment.replace(year=moment.year + SHIFT) for moment in (start, since, END)]
    text = rule if "COUNT" in rule else f"{rule};UNTIL={late[2]:%Y%m%dT%H%M%S}"
    try:
        found = [moment for moment in rrulestr(text, dtstart=late[0]) if late[1] <= moment <= late[2]]
    except (ValueError, IndexError):  # its words for "never"
        return []
    return [moment.replace(year=moment.year - SHIFT) for moment in found]


@given(
    rules(),
    st.datetimes(datetime(2023, 1, 1), datetime(2025, 12, 31)),  # noqa: DTZ001 - local
    st.integers(0, 1000),
)
@settings(max_examples=by_depth(short=25, long=100), deadline=None)
def test_rules_occur_as_they_do_for_dateutil(rule, start, later):
    start = start.replace(microsecond=0)
    since = start + timedelta(days=later)
    ours = list(occurrences(Rule.parse(rule), start, UTC_ZONE, since=since, until=END))
    assert ours == by_dateutil(rule, start, since)


@pytest.mark.parametrize("year", range(1999, 2103))
def test_weeks_are_those_of_iso_8601(year):
    first = date(year, 1, 1)
    weeks = [(first + timedelta(days=day)).isocalendar()[1] for day in range(days_in(year))]
    for number in (1, 2, 51, 52, 53):
        found = list(bits(in_weeks(year, frozenset({number}), 0)))
        assert found == [day for day, week in enumerate(weeks) if week == number]


def test_a_chosen_day_of_a_week_may_lie_in_the_next_year():
    rule = Rule.parse("FREQ=WEEKLY;BYDAY=MO,SU;BYSETPOS=-1")
    start = datetime(2025, 12, 22, 8, 0)  # noqa: DTZ001 - local
    found = list(occurrences(rule, start, UTC_ZONE, since=start, until=start + timedelta(days=20)))
    assert [(moment.month, moment.day) for moment in found] == [(12, 28), (1, 4), (1, 11)]


def test_plain_and_numbered_weekdays_are_added_up():
    rule = Rule.parse("FREQ=MONTHLY;BYDAY=MO,1FR;BYMONTHDAY=1,2,3,4,5,6,7")
    start = datetime(2025, 12, 1, 8, 0)  # noqa: DTZ001 - local
    found = occurrences(rule, start, UTC_ZONE, since=start, until=start + timedelta(days=30))
    assert [moment.day for moment in found] == [1, 5]
