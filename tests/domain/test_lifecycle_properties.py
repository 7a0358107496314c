"""Walks over the state machines: what is over stays over, and everything can end."""

from collections.abc import Mapping
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import ConflictError, ErrorCode
from domain.lifecycle import (
    DEPLOYMENT_TRANSITIONS,
    FINISHED_DEPLOYMENTS,
    FINISHED_OPERATIONS,
    OPERATION_TRANSITIONS,
    RELEASE_TRANSITIONS,
    DeploymentStatus,
    OperationStatus,
    ReleaseState,
    check_transition,
)

Table = Mapping[StrEnum, frozenset[StrEnum]]
MACHINES = [
    pytest.param(OPERATION_TRANSITIONS, OperationStatus.PENDING, FINISHED_OPERATIONS, id="operation"),
    pytest.param(DEPLOYMENT_TRANSITIONS, DeploymentStatus.PENDING, FINISHED_DEPLOYMENTS, id="deployment"),
    pytest.param(RELEASE_TRANSITIONS, ReleaseState.STARTING, {ReleaseState.STOPPED, ReleaseState.FAILED}, id="release"),
]


def reachable(table: Table, start: StrEnum) -> set[StrEnum]:
    seen = {start}
    todo = [start]
    while todo:
        for after in table[todo.pop()] - seen:
            seen.add(after)
            todo.append(after)
    return seen


@pytest.mark.parametrize(("table", "start", "ends"), MACHINES)
def test_every_state_is_in_the_table_and_can_be_reached_and_left_for_an_end(table, start, ends):
    states = set(type(start))
    assert set(table) == states
    assert reachable(table, start) == states
    assert all(reachable(table, state) & ends for state in states)
    assert all(state not in after for state, after in table.items()), "staying is legal without being listed"
    assert all(start not in after for after in table.values()) or start is ReleaseState.STARTING


@given(st.data())
def test_a_walk_obeys_the_table_and_refusals_name_the_way_out(data):
    table, state = data.draw(
        st.sampled_from(
            [
                (OPERATION_TRANSITIONS, OperationStatus.PENDING),
                (DEPLOYMENT_TRANSITIONS, DeploymentStatus.PENDING),
                (RELEASE_TRANSITIONS, ReleaseState.STARTING),
            ]
        )
    )
    for asked in data.draw(st.lists(st.sampled_from(type(state)), max_size=30)):
        if asked == state or asked in table[state]:
            check_transition(table, state, asked)
            state = asked
            continue
        with pytest.raises(ConflictError) as caught:
            check_transition(table, state, asked)
        assert caught.value.code is ErrorCode.INVALID_STATE
        assert caught.value.details == {"state": state, "asked": asked, "allowed": sorted(table[state])}
        assert all(after in caught.value.message for after in table[state])


def test_a_finished_operation_is_finished():
    assert {OperationStatus.COMPLETED, OperationStatus.FAILED, OperationStatus.CANCELLED} == FINISHED_OPERATIONS
    assert all(not OPERATION_TRANSITIONS[state] for state in FINISHED_OPERATIONS)


def test_cancelling_is_never_forgotten():
    assert OperationStatus.IN_PROGRESS not in reachable(OPERATION_TRANSITIONS, OperationStatus.CANCELLING)


def test_a_finished_deployment_never_runs_again():
    """A successful one can be rolled back, which is not running."""
    waiting_or_running = set(DeploymentStatus) - FINISHED_DEPLOYMENTS - {DeploymentStatus.ROLLING_BACK}
    for state in FINISHED_DEPLOYMENTS | {DeploymentStatus.ROLLING_BACK}:
        assert not reachable(DEPLOYMENT_TRANSITIONS, state) & waiting_or_running
        assert state in {DeploymentStatus.SUCCESS, DeploymentStatus.ROLLING_BACK} or not DEPLOYMENT_TRANSITIONS[state]


def test_what_has_moved_traffic_ends_by_moving_it_back_or_by_succeeding():
    """No way from a running deployment back into the queue."""
    queued = {DeploymentStatus.PENDING, DeploymentStatus.QUEUED, DeploymentStatus.AWAITING_APPROVAL}
    assert not reachable(DEPLOYMENT_TRANSITIONS, DeploymentStatus.IN_PROGRESS) & queued


def test_a_failed_release_never_takes_traffic_again():
    assert reachable(RELEASE_TRANSITIONS, ReleaseState.FAILED) == {ReleaseState.FAILED}
