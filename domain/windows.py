"""Deployment windows and freezes: spans of local time, single or recurring, and whether a deployment may start.

A deny window overrides an allow window. With at least one allow window, deployments start only inside one.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache, lru_cache
from itertools import count, groupby
from operator import itemgetter
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NaiveDatetime,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from domain.few_fields import few_fields
from domain.occurrences import occurrences
from domain.recurrence import MAX_RULE, Rule

MAX_DURATION = timedelta(days=31)
HORIZON = timedelta(days=731)
YEARS = (2000, 2100)

# The cost of a rule is limited when it is set (`check_cost`); evaluation is bounded too, for rules set before that.
MAX_TIMES_A_DAY = 24
MAX_TIMES_TOGETHER = 240
MAX_OFTEN = timedelta(days=1)
MAX_BEFORE = 10_000  # maximum number of occurrences before the evaluated moment that may still cover it
MAX_EDGES = 4_000  # maximum number of beginnings and ends after it
STORED = {"stored": True}
"""Validation context for windows that were accepted before: they are read without checks."""

# How far the order of local times can differ from the order of instants: a zone may skip a whole day.
SLACK = timedelta(days=1)

Edge = tuple[datetime, int, int]


class WindowKind(StrEnum):
    """Whether a window allows deployments or holds them."""

    ALLOW = "allow"
    DENY = "deny"


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


class Window(BaseModel):
    """Spans of time. `start` and the rule are local to `time_zone`; in a clock gap, the offset before it applies.

    `duration`: ISO 8601 (`PT8H`, `P2D`) or seconds. As in RFC 5545, whole days are calendar days (of 23 hours when the
    clock goes forward), the rest is exact. `rrule` null: a single span.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^'\"`]+$")]
    kind: WindowKind
    time_zone: Annotated[str, StringConstraints(max_length=64)]
    start: NaiveDatetime
    duration: Annotated[timedelta, Field(gt=timedelta(0), le=MAX_DURATION)]
    rrule: Annotated[str, StringConstraints(max_length=MAX_RULE)] | None = None

    _few = model_validator(mode="before")(few_fields)

    @field_validator("name")
    @classmethod
    def _readable(cls, name: str) -> str:
        """The name appears in messages: no control characters, nothing that changes the direction of the text."""
        if not name.isprintable() or not name.strip():
            raise ValueError("must be printable and not blank")
        return name

    @field_validator("duration", mode="before")
    @classmethod
    def _no_truth(cls, duration: object) -> object:
        if isinstance(duration, bool):
            raise ValueError("must be ISO 8601 such as PT8H, or a number of seconds")  # noqa: TRY004 - pydantic's way
        return duration

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        if name not in _zones():
            raise ValueError("is no time zone known here; use an IANA name such as Europe/Berlin, or UTC")
        return name

    @field_validator("start")
    @classmethod
    def _in_our_time(cls, start: datetime) -> datetime:
        if not YEARS[0] <= start.year < YEARS[1]:
            raise ValueError(f"must be in the years {YEARS[0]} to {YEARS[1] - 1}")
        return start

    @field_validator("rrule")
    @classmethod
    def _occurs(cls, rule: str | None, info: ValidationInfo) -> str | None:
        if info.context == STORED or rule is None or not {"start", "time_zone", "duration"} <= info.data.keys():
            return rule
        parsed, start, zone = Rule.parse(rule), info.data["start"], ZoneInfo(info.data["time_zone"])
        end = datetime(YEARS[1], 1, 1)  # noqa: DTZ001 - local
        if next(occurrences(parsed, start, zone, since=start, until=end), None) is None:
            raise ValueError("never occurs after its start")
        _check_frequency(parsed, info.data["duration"])
        return rule


def _check_frequency(rule: Rule, duration: timedelta) -> None:
    if rule.times_a_day > MAX_TIMES_A_DAY:
        raise ValueError(
            f"may occur at most {MAX_TIMES_A_DAY} times a day, this one does up to {rule.times_a_day} times; "
            "let it occur less often and give it a longer duration"
        )
    if rule.times_a_day > 1 and duration > MAX_OFTEN:
        raise ValueError("occurs several times a day, then its duration may be at most a day (P1D)")


class _CannotJudgeError(Exception):
    """A window set before there were limits; the message says which, as the object of "held by"."""


@dataclass(frozen=True)
class WindowState:
    """Whether a deployment may start at a moment; else why not.

    `next_open`: the earliest moment from then on at which one may start (the moment itself if open), `next_close`: the
    end of that. None: not within two years, nor within the next `MAX_EDGES` beginnings and ends.
    """

    open: bool
    reason: str | None
    next_open: datetime | None
    next_close: datetime | None


def window_state(windows: Sequence[Window], now: datetime) -> WindowState:
    """Whether a deployment may start at `now` (with a time zone), and when that changes. Times are UTC.

    It never raises for windows that were accepted before: one that cannot be evaluated holds deployments, with a
    reason.
    """
    try:
        return _judged(windows, now.astimezone(UTC))
    except _CannotJudgeError as error:
        return WindowState(open=False, reason=str(error), next_open=None, next_close=None)


def _judged(windows: Sequence[Window], now: datetime) -> WindowState:
    reason: str | None = None
    opened: datetime | None = None
    closed: datetime | None = None
    for at, on in _timeline(windows, now):
        why = _why_closed(windows, on)
        if at == now:
            reason = why
        if why is None and opened is None:
            opened = at
        elif why is not None and opened is not None:
            closed = at
            break
    return WindowState(open=reason is None, reason=reason, next_open=opened, next_close=closed)


def _why_closed(windows: Sequence[Window], on: Sequence[int]) -> str | None:
    """What holds a deployment, as the object of 'held by'; `on`: number of occurrences of each window at the moment."""
    active = [window for window, depth in zip(windows, on, strict=True) if depth]
    denied = next((window for window in active if window.kind is WindowKind.DENY), None)
    if denied is not None:
        return f"the freeze window '{denied.name}'"
    allowing = [window for window in windows if window.kind is WindowKind.ALLOW]
    if not allowing or any(window.kind is WindowKind.ALLOW for window in active):
        return None
    names = ", ".join(f"'{window.name}'" for window in allowing[:3])
    more = f" and {len(allowing) - 3} more" if len(allowing) > 3 else ""  # noqa: PLR2004 - as many as are named
    return f"the deployment windows: it is outside of {names}{more}"


def _timeline(windows: Sequence[Window], now: datetime) -> Iterator[tuple[datetime, list[int]]]:
    """The moments from `now` on at which a window begins or ends, and the occurrences of each window after it.

    Raises:
        _CannotJudgeError: before the first item.
    """
    until = now + HORIZON
    on = [0] * len(windows)
    at = now
    seen = 0
    passed = count(1)
    edges = heapq.merge(*(_edges(window, number, now, until, passed) for number, window in enumerate(windows)))
    for moment, together in groupby(edges, key=itemgetter(0)):
        if moment > at:
            yield at, on
            at = moment
        for _, number, change in together:
            on[number] += change
            seen += moment > now
        if at > until or seen > MAX_EDGES:
            return
    yield at, on


def _edges(window: Window, number: int, since: datetime, until: datetime, passed: Iterator[int]) -> Iterator[Edge]:
    """Its beginnings (+1) and ends (-1) in order, if the end is after `since`; `passed` counts beginnings before."""
    ahead: list[Edge] = []
    for begin, end in _spans(window, since, until):
        if begin <= since and next(passed) > MAX_BEFORE:
            raise _CannotJudgeError(
                f"the windows '{window.name}' and others: they occur too often to be judged; set fewer occurrences"
            )
        if end <= since:
            continue
        while ahead and ahead[0][0] < begin - SLACK:
            yield heapq.heappop(ahead)
        heapq.heappush(ahead, (begin, number, 1))
        heapq.heappush(ahead, (end, number, -1))
    while ahead:
        yield heapq.heappop(ahead)


def _spans(window: Window, since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    zone = ZoneInfo(window.time_zone)
    for local in _starts(window, zone, since - window.duration - SLACK, until):
        begin, end = _instant(local, zone), _end(local, window.duration, zone)
        if end > begin:
            yield begin, end


def _starts(window: Window, zone: ZoneInfo, since: datetime, until: datetime) -> Iterator[datetime]:
    first, last = (moment.astimezone(zone).replace(tzinfo=None) for moment in (since, until))
    if window.rrule is not None:
        yield from occurrences(_rule(window), window.start, zone, since=first, until=last)
    elif first <= window.start <= last:
        yield window.start


def _rule(window: Window) -> Rule:
    try:
        return _parsed(window.rrule or "")
    except ValueError as error:
        raise _CannotJudgeError(
            f"the window '{window.name}': its rule cannot be judged any more ({error}); set it anew"
        ) from None


_parsed = lru_cache(maxsize=1024)(Rule.parse)


def _instant(local: datetime, zone: ZoneInfo) -> datetime:
    """RFC 5545: an ambiguous time is the first one; in a gap, the offset before it applies. `fold=0` does the same."""
    return local.replace(tzinfo=zone, fold=0).astimezone(UTC)


def _end(local: datetime, duration: timedelta, zone: ZoneInfo) -> datetime:
    days = timedelta(days=duration.days)
    return _instant(local + days, zone) + (duration - days)


def check_together(windows: Sequence[Window]) -> None:
    """Raise `ValueError` for windows with the same name, or that together occur too often to be evaluated quickly."""
    check_names(windows)
    times = sum(_parsed(window.rrule).times_a_day if window.rrule else 1 for window in windows)
    if times > MAX_TIMES_TOGETHER:
        raise ValueError(f"occur up to {times} times a day together; at most {MAX_TIMES_TOGETHER} times are looked at")


def check_names(windows: Sequence[Any]) -> None:
    """Raise `ValueError` unless all names are unique."""
    names = [window.name for window in windows]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"must have different names; there is more than one '{twice[0]}'")
