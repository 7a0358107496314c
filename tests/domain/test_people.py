import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import ConflictError, ErrorCode, ForbiddenError
from domain.lifecycle import FINISHED_DEPLOYMENTS, DeploymentStatus
from domain.people import (
    ALLOWED,
    Action,
    ApprovalPolicy,
    Phase,
    check_action,
    check_approver,
    check_recorded,
    is_approved,
)

people = st.lists(st.sampled_from(["ann", "ben", "cid", "dee"]), max_size=8)


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("action", list(Action))
def test_a_refused_action_names_the_state_and_what_is_allowed(phase: Phase, action: Action) -> None:
    if action in ALLOWED[phase]:
        check_action(phase, action)
        return
    with pytest.raises(ConflictError) as refused:
        check_action(phase, action)
    assert refused.value.code is ErrorCode.INVALID_STATE
    assert refused.value.details == {"state": phase, "action": action, "allowed": sorted(ALLOWED[phase])}


@pytest.mark.parametrize("status", list(DeploymentStatus))
def test_only_what_is_finished_and_did_not_succeed_is_tried_again(status: DeploymentStatus) -> None:
    if status in FINISHED_DEPLOYMENTS - {DeploymentStatus.SUCCESS}:
        check_recorded(status, Action.RETRY)
        return
    with pytest.raises(ConflictError) as refused:
        check_recorded(status, Action.RETRY)
    assert refused.value.message.startswith(f"cannot retry while it is {status}: ")
    assert refused.value.details["state"] == status


def test_a_workflow_that_ends_takes_nothing_any_more() -> None:
    assert not ALLOWED[Phase.FINISHED]


def test_four_eyes() -> None:
    policy = ApprovalPolicy(min_approvals=1, four_eyes=True)
    with pytest.raises(ForbiddenError):
        check_approver(policy, requested_by="ann", approved_by=[], actor="ann")
    check_approver(policy, requested_by="ann", approved_by=[], actor="ben")


def test_nobody_counts_twice() -> None:
    with pytest.raises(ConflictError):
        check_approver(ApprovalPolicy(min_approvals=2), requested_by="ann", approved_by=["ben"], actor="ben")


@given(people, st.integers(1, 4))
def test_quorum_counts_different_people(approved_by: list[str], quorum: int) -> None:
    policy = ApprovalPolicy(min_approvals=quorum)
    assert is_approved(policy, approved_by) == (len(set(approved_by)) >= quorum)
