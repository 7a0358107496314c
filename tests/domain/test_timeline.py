"""Waits among the states of a deployment."""

from datetime import UTC, datetime, timedelta

from domain.timeline import waits_of

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def moves(*states: str) -> list[tuple[datetime, str]]:
    return [(BEGIN + timedelta(minutes=minute), state) for minute, state in enumerate(states)]


def test_time_of_people_and_of_the_lock_is_told_apart():
    waits = waits_of(moves("awaiting_approval", "queued", "in_progress", "paused", "in_progress", "success"), None)
    assert [(wait.waits_for, wait.status) for wait in waits] == [
        ("people", "awaiting_approval"),
        ("lock", "queued"),
        ("people", "paused"),
    ]
    assert {(wait.end or BEGIN) - wait.begin for wait in waits} == {timedelta(minutes=1)}


def test_a_wait_that_lasts_has_no_end_and_one_of_a_finished_deployment_is_over():
    assert [wait.end for wait in waits_of(moves("in_progress", "paused"), BEGIN)] == [None]
    assert waits_of(moves("in_progress", "paused"), None) == []
