from contextlib import suppress
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.approvals import (
    ALLOWED,
    STATES,
    Action,
    ApprovalPolicy,
    Person,
    Phase,
    check_action,
    check_approver,
    check_recorded,
    count_humans,
    is_approved,
)
from domain.emails import mailbox
from domain.errors import ConflictError, ErrorCode, ForbiddenError
from domain.lifecycle import FINISHED_DEPLOYMENTS, DeploymentStatus


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("action", list(Action))
def test_a_refused_action_names_the_state_and_what_is_allowed(phase: Phase, action: Action) -> None:
    if action in ALLOWED[phase]:
        check_action(phase, action)
        return
    with pytest.raises(ConflictError) as refused:
        check_action(phase, action)
    assert refused.value.code is ErrorCode.INVALID_STATE
    state = STATES.get(phase, phase)
    assert refused.value.details == {"state": state, "action": action, "allowed": sorted(ALLOWED[phase])}
    assert f"while it is {state}: " in refused.value.message


def test_states_are_named_as_clients_know_them() -> None:
    """Validators named phases, which no answer of the API knows."""
    assert set(STATES.values()) <= set(DeploymentStatus)
    assert STATES.keys() == set(Phase) - {Phase.FINISHED, Phase.SUCCEEDED, Phase.ENDED_BADLY, Phase.REPLACED}


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


def test_one_mailbox_has_many_addresses() -> None:
    """Whoever has one at Gmail has as many addresses, all of them proven, as there are places for dots."""
    ways = ("ada.l@gmail.com", "A.D.A.L@googlemail.com", "adal+ci@gmail.com", "adal@gmail.com")
    assert {mailbox(way) for way in ways} == {"mailbox:adal@gmail.com"}
    assert mailbox("ada.l@example.com") != mailbox("adal@example.com")


def person(name: str, *humans: str, by: str = "") -> Person:
    return Person(actor=name, humans=humans, vouched_by=(by,) if by else ())


ANN, BEN = person("ann"), person("ben")


def test_four_eyes() -> None:
    policy = ApprovalPolicy(min_approvals=1, four_eyes=True)
    with pytest.raises(ForbiddenError):
        check_approver(policy, requested_by=ANN, approved_by=[], approver=ANN)
    check_approver(policy, requested_by=ANN, approved_by=[], approver=BEN)


def test_nobody_counts_twice() -> None:
    with pytest.raises(ConflictError):
        check_approver(ApprovalPolicy(min_approvals=2), requested_by=ANN, approved_by=[BEN], approver=BEN)


@pytest.mark.parametrize(
    ("requester", "approver"),
    [
        (person("bot-1", "ann"), person("bot-2", "ann")),
        (ANN, person("bot-2", "ann")),
        (person("bot-1", "ann"), ANN),
        (ANN, person("ann-2", "ann-2", by="ann")),
        (person("bot-1", "ann", "ben"), BEN),  # ann made it, ben holds its secret
        (person("okta:1", "okta:1", "mailbox:a@x"), person("u", "u", "mailbox:a@x")),
    ],
)
def test_two_service_accounts_of_one_admin_do_not_satisfy_four_eyes(requester: Person, approver: Person) -> None:
    with pytest.raises(ForbiddenError, match="four eyes"):
        check_approver(ApprovalPolicy(), requested_by=requester, approved_by=[], approver=approver)
    check_approver(ApprovalPolicy(four_eyes=False), requested_by=requester, approved_by=[], approver=approver)
    assert count_humans([requester, approver]) == 1


def test_who_invited_the_requester_may_approve() -> None:
    check_approver(ApprovalPolicy(), requested_by=person("dev", "dev", by="ann"), approved_by=[], approver=ANN)


names = st.sampled_from(["ann", "ben", "cid", "dee"])
persons = st.builds(
    Person,
    actor=st.sampled_from(["a", "b", "c", "d", "e", "f"]),
    humans=st.lists(names, max_size=2).map(tuple),
    vouched_by=st.lists(names, max_size=1).map(tuple),
)


@given(st.lists(persons, max_size=6), st.randoms())
def test_humans_are_counted_in_any_order_and_never_more_than_there_are(approvals: list[Person], chance: Random) -> None:
    counted = count_humans(approvals)
    assert counted <= len({one.actor if not one.humans else one.humans[0] for one in approvals})
    shuffled = list(approvals)
    chance.shuffle(shuffled)
    assert count_humans(shuffled) == counted
    assert count_humans([*approvals, *approvals]) == counted


@given(st.lists(persons, max_size=6), persons, st.integers(1, 4))
def test_whoever_is_let_in_makes_the_quorum_and_the_requester_is_never_among_them(
    asked: list[Person], requester: Person, quorum: int
) -> None:
    policy, approvals = ApprovalPolicy(min_approvals=quorum), list[Person]()
    for one in asked:
        with suppress(ConflictError, ForbiddenError):
            check_approver(policy, requested_by=requester, approved_by=approvals, approver=one)
            approvals.append(one)
    assert not any(one.made_by(requester) for one in approvals)
    assert is_approved(policy, approvals, requested_by=requester) == (len(approvals) >= quorum)


policies = st.builds(ApprovalPolicy, min_approvals=st.integers(1, 10), four_eyes=st.booleans())


@given(policies, policies, st.lists(persons, max_size=6), persons)
def test_of_two_rules_the_stricter_decides(
    one: ApprovalPolicy, other: ApprovalPolicy, approvals: list[Person], requester: Person
) -> None:
    both = one.stricter(other)
    assert both == other.stricter(one)
    if is_approved(both, approvals, requested_by=requester):
        assert is_approved(one, approvals, requested_by=requester)
        assert is_approved(other, approvals, requested_by=requester)


@given(st.lists(names, max_size=8), st.integers(1, 4))
def test_quorum_counts_different_people(approved_by: list[str], quorum: int) -> None:
    policy = ApprovalPolicy(min_approvals=quorum)
    assert is_approved(policy, [person(name) for name in approved_by]) == (len(set(approved_by)) >= quorum)


SOMEBODY, ANYBODY = Person(actor="corp:1", unknown=True), Person(actor="corp:2", unknown=True)


@pytest.mark.parametrize("policy", [ApprovalPolicy(), ApprovalPolicy(min_approvals=2, four_eyes=False)])
@pytest.mark.parametrize("requester", [ANN, ANYBODY])
def test_who_may_be_anybody_is_never_the_second_of_four_eyes(policy: ApprovalPolicy, requester: Person) -> None:
    """A human with a local account and a token of another issuer without an address was two."""
    with pytest.raises(ForbiddenError, match="email_claim in DELIVERY_TRUSTED_ISSUERS"):
        check_approver(policy, requested_by=requester, approved_by=[], approver=SOMEBODY)
    assert not is_approved(policy, [SOMEBODY, ANYBODY], requested_by=requester)
    if policy.four_eyes:
        assert not is_approved(policy, [SOMEBODY], requested_by=requester)


def test_of_two_different_people_one_at_most_is_the_requester_whom_nobody_knows() -> None:
    policy = ApprovalPolicy()
    assert not is_approved(policy, [ANN], requested_by=SOMEBODY)
    check_approver(policy, requested_by=SOMEBODY, approved_by=[ANN], approver=BEN)
    assert is_approved(policy, [ANN, BEN], requested_by=SOMEBODY)
    with pytest.raises(ConflictError, match="2 different people must"):
        check_approver(policy, requested_by=SOMEBODY, approved_by=[ANN], approver=person("bot", "ann"))


def test_where_one_yes_is_enough_and_anybodys_it_need_not_be_known_whose() -> None:
    policy = ApprovalPolicy(four_eyes=False)
    check_approver(policy, requested_by=ANN, approved_by=[], approver=SOMEBODY)
    assert is_approved(policy, [SOMEBODY], requested_by=ANN)
    assert count_humans([SOMEBODY, ANYBODY]) == 1
    assert count_humans([SOMEBODY, ANN, BEN]) == 2
