"""Windows by example: what holds whom, until when, over the changes of the clock."""

import contextlib
import sys
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from domain.environment_settings import EnvironmentSettings
from domain.windows import Window, window_state

WEEKEND = {
    "name": "weekend",
    "kind": "deny",
    "time_zone": "Europe/Berlin",
    "start": "2026-01-03T00:00:00",
    "duration": "P2D",
    "rrule": "FREQ=WEEKLY;BYDAY=SA",
}


def window(**changes) -> Window:
    return Window.model_validate({**WEEKEND, **changes})


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_without_windows_it_is_always_open():
    state = window_state([], at("2026-11-28T12:00"))
    assert (state.open, state.reason, state.next_close) == (True, None, None)
    assert state.next_open == at("2026-11-28T12:00")


def test_a_freeze_says_when_it_ends():
    state = window_state([window()], at("2026-11-28T12:00"))
    assert (state.open, state.reason) == (False, "the freeze window 'weekend'")
    assert state.next_open == at("2026-11-29T23:00")  # midnight in Berlin
    assert state.next_close == at("2026-12-04T23:00")


def test_its_first_moment_is_inside_and_its_last_is_not():
    begin, end = at("2026-11-27T23:00"), at("2026-11-29T23:00")
    assert window_state([window()], begin - timedelta(microseconds=1)).open
    assert not window_state([window()], begin).open
    assert not window_state([window()], end - timedelta(microseconds=1)).open
    assert window_state([window()], end).open


def test_outside_of_all_allow_windows_it_is_closed():
    hours = window(name="office hours", kind="allow", start="2026-01-05T09:00:00", duration="PT8H", rrule="FREQ=DAILY")
    state = window_state([hours], at("2026-11-28T20:00"))
    assert (state.open, state.reason) == (False, "the deployment windows: it is outside of 'office hours'")
    assert (state.next_open, state.next_close) == (at("2026-11-29T08:00"), at("2026-11-29T16:00"))


def test_deny_beats_allow_and_freezes_in_a_row_count_as_one():
    allow = window(name="all", kind="allow", rrule="FREQ=WEEKLY;BYDAY=MO", start="2026-01-05T00:00:00", duration="P7D")
    monday = window(name="monday", rrule=None, start="2026-11-30T00:00:00", duration="PT12H")
    state = window_state([allow, window(), monday], at("2026-11-28T12:00"))
    assert (state.open, state.reason) == (False, "the freeze window 'weekend'")
    assert state.next_open == at("2026-11-30T11:00")


def test_whole_days_follow_the_calendar_and_hours_the_clock():
    # In Berlin the clock went forward on 29 March 2026 at 01:00 UTC, and back on 25 October.
    spring, autumn = at("2026-03-28T12:00"), at("2026-10-24T12:00")
    assert window_state([window()], spring).next_open == at("2026-03-29T22:00")
    assert window_state([window()], autumn).next_open == at("2026-10-25T23:00")
    night = {"name": "night", "rrule": "FREQ=DAILY", "start": "2026-01-01T22:00:00", "duration": "PT8H"}
    assert window_state([window(**night)], at("2026-03-28T23:00")).next_open == at("2026-03-29T05:00")
    assert window_state([window(**night)], at("2026-10-24T23:00")).next_open == at("2026-10-25T04:00")


def test_a_time_in_the_gap_is_counted_on_and_a_doubled_one_is_the_first():
    gap = window(rrule=None, start="2026-03-29T02:30:00", duration="PT1H")
    assert not window_state([gap], at("2026-03-29T01:30")).open
    assert window_state([gap], at("2026-03-29T01:29")).next_close == at("2026-03-29T01:30")
    doubled = window(rrule=None, start="2026-10-25T02:30:00", duration="PT1H")
    assert window_state([doubled], at("2026-10-25T00:29")).next_close == at("2026-10-25T00:30")
    assert window_state([doubled], at("2026-10-25T00:31")).next_open == at("2026-10-25T01:30")


@pytest.mark.parametrize(
    ("until", "last_day"),
    [("20261128", 28), ("20261127T230000Z", 28), ("20261127T225959Z", 21), ("20261128T000000", 28)],
)
def test_until_is_a_day_a_local_time_or_utc(until, last_day):
    ends = window(rrule=f"FREQ=WEEKLY;BYDAY=SA;UNTIL={until}")
    assert window_state([ends], at("2026-11-21T12:00")).open is False
    assert window_state([ends], at("2026-11-28T12:00")).open is (last_day == 21)
    assert window_state([ends], at("2026-12-05T12:00")).open


def test_count_and_interval_count_from_the_start():
    twice = window(rrule="FREQ=WEEKLY;BYDAY=SA;INTERVAL=2;COUNT=2")
    held = [day for day in (3, 10, 17, 24, 31) if not window_state([twice], at(f"2026-01-{day:02}T12:00")).open]
    assert held == [3, 17]


def test_interval_keeps_its_phase_for_years():
    fortnight = window(rrule="FREQ=WEEKLY;BYDAY=SA;INTERVAL=2", start="2001-01-06T00:00:00")
    weeks = [(datetime(2026, 1, 3, tzinfo=UTC) + timedelta(weeks=number)) for number in range(10)]
    held = [not window_state([fortnight], week + timedelta(hours=12)).open for week in weeks]
    even = [(week - datetime(2001, 1, 6, tzinfo=UTC)).days % 14 == 0 for week in weeks]
    assert held == even


def test_a_month_s_end_is_its_end():
    last_friday = window(rrule="FREQ=MONTHLY;BYDAY=-1FR", start="2026-01-30T18:00:00", duration="PT6H")
    assert not window_state([last_friday], at("2026-11-27T17:30")).open
    assert window_state([last_friday], at("2026-11-20T17:30")).open


NONSENSE = [
    ("", "not supported"),
    ("FREQ=SECONDLY", "FREQ must be one of"),
    ("FREQ=MINUTELY", "FREQ must be one of"),
    ("INTERVAL=2", "FREQ is missing"),
    ("FREQ=DAILY;FREQ=DAILY", "twice"),
    ("FREQ=DAILY;COUNT=0", "COUNT"),
    ("FREQ=DAILY;COUNT=1,2", "COUNT must be one number"),
    ("FREQ=DAILY;COUNT=2;UNTIL=20300101", "exclude"),
    ("FREQ=DAILY;UNTIL=20300231", "UNTIL"),
    ("FREQ=DAILY;UNTIL=tomorrow", "UNTIL"),
    ("FREQ=DAILY;BYHOUR=24", "BYHOUR"),
    ("FREQ=DAILY;BYSECOND=1", "BYSECOND is not supported"),
    ("FREQ=DAILY;BYMINUTE=1,2,3,4,5", "at most 4"),
    ("FREQ=DAILY;BYDAY=1MO", "BYDAY"),
    ("FREQ=MONTHLY;BYDAY=6MO", "from 1 to 5"),
    ("FREQ=MONTHLY;BYDAY=MO,-99FR", "from 1 to 5"),
    ("FREQ=YEARLY;BYDAY=54MO", "from 1 to 53"),
    ("FREQ=YEARLY;BYDAY=0MO", "from 1 to 53"),
    ("FREQ=YEARLY;BYMONTHDAY=0", "BYMONTHDAY"),
    ("FREQ=YEARLY;BYEASTER=1", "BYEASTER is not supported"),
    ("FREQ=DAILY;BYSETPOS=2", "BYSETPOS"),
    ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "never occurs"),
    ("FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=30", "never occurs"),
    ("FREQ=DAILY;UNTIL=20200101", "never occurs"),
    ("FREQ=DAILY;WKST=MO,SU", "WKST must be one day"),
    ("FREQ=HOURLY;INTERVAL=24;BYHOUR=5", "never occurs"),
    ("FREQ=YEARLY;BYDAY=53MO;BYMONTH=2;BYSETPOS=366", "never occurs"),  # dateutil: IndexError
    ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=31;BYHOUR=1", "never occurs"),
    ("FREQ=YEARLY;BYYEARDAY=1;BYMONTHDAY=2", "never occurs"),
    ("FREQ=YEARLY;INTERVAL=1000;BYMONTH=1;BYMONTHDAY=2", "never occurs"),
    ("FREQ=HOURLY;INTERVAL=1000;BYDAY=MO;BYMONTH=2;BYMONTHDAY=30", "never occurs"),
    ("FREQ=MONTHLY;BYDAY=5MO;BYMONTHDAY=1", "never occurs"),
    ("FREQ=HOURLY;COUNT=10000;BYMINUTE=0,15,30,45", "at most 24 times a day, this one does up to 96"),
    ("FREQ=DAILY;BYHOUR=" + ",".join(map(str, range(13))) + ";BYMINUTE=0,30", "at most 24 times a day"),
    ("FREQ=HOURLY", "duration may be at most a day"),
    ("FREQ=DAILY;BYHOUR=1,2", "duration may be at most a day"),
    ("FREQ=DAILY;INTERVAL=100000000000000000000", "INTERVAL"),
    ("FREQ=DAILY;COUNT=" + "9" * 400, "COUNT"),
    ("FREQ=DAILY;UNTIL=00010101", "never occurs"),
]


@pytest.mark.parametrize(("rule", "words"), NONSENSE)
def test_rules_that_make_no_sense_say_why(rule, words):
    with pytest.raises(ValidationError, match=words) as refused:
        window(rrule=rule)
    assert [fault["loc"] for fault in refused.value.errors()] == [("rrule",)]


def calls_of(function) -> int:
    """How many calls of Python functions it took: the work, which is the same on every machine."""
    made = 0

    def note(_frame, event, _argument):
        nonlocal made
        made += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(before)
    return made


def stored(*windows: dict) -> tuple[Window, ...]:
    """As a row gives them that was written before there were limits."""
    return EnvironmentSettings.stored({"windows": [{**WEEKEND, **window} for window in windows]}).windows


NOW = at("2026-11-28T12:00")
LONG = {"start": "2001-01-01T00:00:00", "duration": "P31D"}
COSTLY = [
    "FREQ=HOURLY;COUNT=10000;BYMINUTE=0,15,30,45",
    "FREQ=HOURLY;INTERVAL=7;COUNT=10000",
    "FREQ=HOURLY;INTERVAL=1000;BYDAY=MO;BYMONTHDAY=29;BYMONTH=2",
    "FREQ=YEARLY;BYDAY=53MO;BYMONTH=2;BYSETPOS=366",
    "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO",
    "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=31",
    "FREQ=YEARLY;COUNT=10000",
    "FREQ=MONTHLY;BYSETPOS=" + ",".join(map(str, range(1, 120))),
    "FREQ=YEARLY;BYWEEKNO=" + ",".join(map(str, range(1, 54))),
    "FREQ=YEARLY;INTERVAL=1000",
]


@pytest.mark.parametrize("rule", COSTLY)
def test_following_a_rule_has_a_bound_on_work(rule):
    assert calls_of(lambda: window_state(stored({**LONG, "rrule": rule}), NOW)) < 200_000


@pytest.mark.parametrize("rule", [*COSTLY, *(rule for rule, _ in NONSENSE)])
def test_accepting_or_refusing_a_rule_has_a_bound_on_work(rule):
    def ask():
        with contextlib.suppress(ValidationError):
            window(rrule=rule, start="2000-01-01T00:00:00")

    assert calls_of(ask) < 60_000


def test_many_rules_at_once_have_a_bound_on_work():
    rules = [{**LONG, "name": str(number), "rrule": COSTLY[number % len(COSTLY)]} for number in range(50)]
    assert calls_of(lambda: window_state(stored(*rules), NOW)) < 500_000


def test_windows_that_occur_too_often_together_are_refused():
    hourly = [window(name=str(n), rrule="FREQ=HOURLY", duration="PT10M") for n in range(10)]
    assert EnvironmentSettings(windows=hourly).windows
    with pytest.raises(ValidationError, match="occur up to 241 times a day together; at most 240"):
        EnvironmentSettings(windows=[*hourly, window()])


def test_what_cannot_be_judged_holds_and_says_so():
    half_hours = [{**LONG, "name": str(n), "rrule": "FREQ=HOURLY;BYMINUTE=0,30"} for n in range(50)]
    state = window_state(stored(*half_hours), NOW)
    assert (state.open, state.next_open) == (False, None)
    assert "occur too often to be judged" in (state.reason or "")
    broken = window_state(stored({"rrule": "FREQ=SECONDLY"}), NOW)
    assert not broken.open
    assert "the window 'weekend': its rule cannot be judged any more (FREQ must be one of" in (broken.reason or "")


def test_a_search_that_ends_early_leaves_the_end_open():
    quarter_hours = {**LONG, "rrule": "FREQ=HOURLY;BYMINUTE=0,15,30,45", "duration": "PT20M"}
    state = window_state(stored(quarter_hours), NOW)
    assert (state.open, state.reason) == (False, "the freeze window 'weekend'")
    assert (state.next_open, state.next_close) == (None, None)


@pytest.mark.parametrize("start", ["0001-01-01T00:00:00", "9999-12-31T23:59:59", "1999-12-31T00:00:00"])
def test_a_start_at_the_ends_of_time_is_refused(start):
    with pytest.raises(ValidationError, match="in the years 2000 to 2099"):
        window(start=start)


@pytest.mark.parametrize("year", [2000, 2099])
def test_the_first_and_the_last_years_are_judged(year):
    daily = window(start=f"{year}-12-31T00:00:00", rrule="FREQ=DAILY", duration="PT1H")
    assert not window_state([daily], at(f"{year}-12-31T23:30")).open


def test_settings_read_back_what_they_wrote_and_names_are_unique():
    settings = EnvironmentSettings(windows=(window(), window(name="other", rrule=None)))
    assert EnvironmentSettings.model_validate_json(settings.model_dump_json()) == settings
    with pytest.raises(ValidationError, match="more than one 'weekend'"):
        EnvironmentSettings(windows=(window(), window()))


@pytest.mark.parametrize("name", ["", "   ", "a\x00b", "line\nbreak", "\u202ebackwards", "a'b", "x" * 65])
def test_names_are_for_people(name):
    with pytest.raises(ValidationError):
        window(name=name)
    assert window(name="Jahresende ❄ 2026").name


@pytest.mark.parametrize("duration", [True, False, 0, -5, "P1Y", "soon", None])
def test_durations_are_times(duration):
    with pytest.raises(ValidationError):
        window(duration=duration)
