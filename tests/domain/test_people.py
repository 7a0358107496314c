import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import ConflictError, ErrorCode, ForbiddenError
from domain.people import ALLOWED, Action, ApprovalPolicy, Phase, check_action, check_approver, is_approved

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
