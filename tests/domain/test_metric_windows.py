from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import UnprocessableError
from domain.metric_windows import (
    FINEST,
    KEPT,
    LENGTHS,
    STEPS,
    Aggregation,
    TimeRange,
    Window,
    beginning,
    chosen,
    fitting,
)

NOW = datetime(2024, 10, 26, 10, 30, 17, 5, tzinfo=UTC)
PAIRS = [(time_range, each) for time_range in TimeRange for each in fitting(time_range)]


@pytest.mark.parametrize(
    ("time_range", "aggregation", "would_do"),
    [
        (TimeRange.WEEK, Aggregation.MINUTE, ["5m", "1h"]),
        (TimeRange.MONTH, Aggregation.MINUTE, ["1h"]),
        (TimeRange.MONTH, Aggregation.FIVE_MINUTES, ["1h"]),
    ],
)
def test_an_aggregation_too_fine_for_its_range_says_which_would_do(time_range, aggregation, would_do):
    with pytest.raises(UnprocessableError) as refused:
        chosen(time_range, aggregation)
    assert refused.value.details["allowed_aggregations"] == would_do
    assert all(one in refused.value.message for one in would_do)


def test_without_an_aggregation_the_finest_that_fits_is_taken():
    assert [chosen(time_range, None) for time_range in TimeRange] == ["1m", "1m", "1m", "5m", "1h"]


@pytest.mark.parametrize(("time_range", "aggregation"), PAIRS)
@given(moment=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)).map(lambda one: one.replace(tzinfo=UTC)))  # noqa: DTZ001 - the zone comes with map
def test_the_steps_cover_the_range_whole_and_are_bounded(time_range, aggregation, moment):
    window = Window.of(time_range, aggregation, moment)
    steps = list(window.steps())
    assert steps[0] <= window.since <= moment < steps[-1] + window.step
    assert all(beginning(step, window.step) == step for step in steps)
    assert len(steps) <= LENGTHS[time_range] / STEPS[aggregation] + 1 <= 2017
    length = moment - window.since
    assert LENGTHS[time_range] - window.precision <= length < LENGTHS[time_range]


@pytest.mark.parametrize(("time_range", "aggregation"), PAIRS)
def test_what_can_be_asked_for_is_kept(time_range, aggregation):
    window = Window.of(time_range, aggregation, NOW)
    assert NOW - window.first_step < KEPT[aggregation]
    assert NOW - window.since < KEPT[FINEST[time_range]]


def test_an_organization_has_so_many_rows_at_most():
    assert sum(length / STEPS[step] for step, length in KEPT.items()) < 5000
    assert beginning(NOW, timedelta(minutes=5)) == datetime(2024, 10, 26, 10, 30, tzinfo=UTC)
