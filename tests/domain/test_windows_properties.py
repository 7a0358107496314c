"""`window_state` against a second, simpler truth: days of the calendar one by one, and a scan of every minute."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.windows import Window, WindowKind, window_state
from tests.support.deep import by_depth

DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
# Clocks that go forward and back, by half an hour too, on both halves of the earth; and some that never do.
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/Santiago")
CHANGES = (
    date(2026, 3, 8),
    date(2026, 3, 29),
    date(2026, 4, 5),
    date(2026, 9, 6),
    date(2026, 10, 25),
    date(2026, 11, 1),
)
SCANNED = timedelta(days=10)
MINUTE = timedelta(minutes=1)


@st.composite
def recurring(draw) -> Window:
    days = draw(st.lists(st.sampled_from(DAYS), unique=True, min_size=1))
    daily = draw(st.booleans())
    return Window(
        name=draw(st.text("abc", min_size=1, max_size=3)),
        kind=draw(st.sampled_from(WindowKind)),
        time_zone=draw(st.sampled_from(ZONES)),
        start=datetime(2026, 1, draw(st.integers(1, 20)), draw(st.integers(0, 23)), draw(st.integers(0, 59))),  # noqa: DTZ001 - local
        duration=timedelta(minutes=draw(st.integers(1, 3 * 24 * 60))),
        rrule=f"FREQ=DAILY;INTERVAL={draw(st.integers(1, 3))}" if daily else f"FREQ=WEEKLY;BYDAY={','.join(days)}",
    )


windows = st.lists(recurring(), max_size=4)
moments = st.builds(
    lambda day, minutes: datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(minutes=minutes),
    st.sampled_from(CHANGES),
    st.integers(-4 * 24 * 60, 2 * 24 * 60),
)


def occurs(window: Window, day: date) -> bool:
    rule = dict(part.split("=") for part in window.rrule.split(";"))
    if day < window.start.date():
        return False
    if rule["FREQ"] == "DAILY":
        return (day - window.start.date()).days % int(rule["INTERVAL"]) == 0
    return DAYS[day.weekday()] in rule["BYDAY"].split(",")


def spans(window: Window, now: datetime) -> list[tuple[datetime, datetime]]:
    zone = ZoneInfo(window.time_zone)
    found = []
    for offset in range(-6, SCANNED.days + 3):
        day = now.date() + timedelta(days=offset)
        if occurs(window, day):
            begin = datetime.combine(day, window.start.time(), zone)
            end = datetime.combine(day + timedelta(days=window.duration.days), window.start.time(), zone)
            rest = timedelta(seconds=window.duration.seconds)
            found.append((begin.astimezone(UTC), end.astimezone(UTC) + rest))
    return found


def truth(all_windows: list[Window], now: datetime) -> list[bool]:
    """Whether it is open, minute by minute."""
    count = int(SCANNED / MINUTE)
    allowed = [not any(window.kind is WindowKind.ALLOW for window in all_windows)] * count
    denied = [False] * count
    for window in all_windows:
        marks = denied if window.kind is WindowKind.DENY else allowed
        for begin, end in spans(window, now):
            first, last = (max(0, min(count, -((now - edge) // MINUTE))) for edge in (begin, end))
            marks[first:last] = [True] * (last - first)
    return [allow and not deny for allow, deny in zip(allowed, denied, strict=True)]


@given(windows, moments)
@settings(max_examples=by_depth(short=25, long=150))
def test_next_open_is_the_first_open_minute_and_next_close_the_first_closed_one_after_it(all_windows, now):
    state = window_state(all_windows, now)
    minutes = truth(all_windows, now)
    assert state.open is minutes[0]
    first = next((index for index, is_open in enumerate(minutes) if is_open), None)
    if first is None:
        assert state.next_open is None or state.next_open >= now + SCANNED
        return
    assert state.next_open == now + first * MINUTE
    close = next((index for index, is_open in enumerate(minutes) if index > first and not is_open), None)
    if close is None:
        assert state.next_close is None or state.next_close >= now + SCANNED
    else:
        assert state.next_close == now + close * MINUTE


@given(windows, moments)
@settings(max_examples=by_depth(short=25, long=60))
def test_next_open_is_open_and_says_nothing_more(all_windows, now):
    state = window_state(all_windows, now)
    assert state.open is (state.reason is None) is (state.next_open == now)
    if state.next_open is not None:
        there = window_state(all_windows, state.next_open)
        assert there.open
        assert there.next_close == state.next_close or state.next_close is None


@given(windows, moments)
@settings(max_examples=by_depth(short=25, long=60))
def test_deny_beats_allow(all_windows, now):
    frozen = Window(
        name="now",
        kind=WindowKind.DENY,
        time_zone="UTC",
        start=now.replace(tzinfo=None) - timedelta(hours=1),
        duration=timedelta(hours=2),
    )
    state = window_state([*all_windows, frozen], now)
    assert not state.open
    assert state.next_open is None or state.next_open >= now + timedelta(hours=1)


@given(windows, moments)
@settings(max_examples=by_depth(short=25, long=60))
def test_one_more_freeze_never_opens_and_one_less_never_closes(all_windows, now):
    allows = [window for window in all_windows if window.kind is WindowKind.ALLOW]
    if window_state(all_windows, now).open:
        assert window_state(allows, now).open
