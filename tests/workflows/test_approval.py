"""Who has to say yes, counted without a workflow."""

import pytest

from contracts.operations import ActionRequest
from domain.approvals import ApprovalPolicy, Person
from domain.errors import DeliveryError
from workflows.approval import Approval

ANN, BEN, CAT = (Person(actor=name, humans=(name,)) for name in ("ann", "ben", "cat"))


def yes(person: Person, rule: ApprovalPolicy | None = None) -> ActionRequest:
    return ActionRequest.of(person, rule=rule)


def test_without_a_rule_nobody_has_to_say_yes() -> None:
    assert Approval(ANN).complete()


def test_it_is_complete_with_the_last_one_that_is_needed() -> None:
    approval = Approval(ANN, ApprovalPolicy(min_approvals=2), [yes(BEN)])
    assert not approval.complete()
    assert approval.summary() == "Waiting for approval: 1 of 2 so far"
    approval.add(yes(CAT))
    assert approval.complete()


def test_whoever_asked_for_it_does_not_count_among_four_eyes() -> None:
    approval = Approval(ANN, ApprovalPolicy(min_approvals=1, four_eyes=True))
    with pytest.raises(DeliveryError):
        approval.check(yes(ANN))
    approval.check(yes(BEN))


def test_what_the_environment_demands_now_makes_it_stricter_and_never_looser() -> None:
    approval = Approval(ANN, ApprovalPolicy(min_approvals=2))
    approval.add(yes(BEN, ApprovalPolicy(min_approvals=1)))
    assert not approval.complete()
    approval.add(yes(CAT, ApprovalPolicy(min_approvals=3)))
    assert approval.count == 2
    assert not approval.complete()


def test_whoever_approves_reads_that_it_passes_freezes() -> None:
    approval = Approval(ANN, ApprovalPolicy(), overrides_freeze=True)
    assert approval.summary().endswith("it is to go past freezes")
