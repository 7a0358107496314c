"""What an order says to the collaborators of its workflow."""

from types import SimpleNamespace

import pytest
from temporalio import workflow

from domain.approvals import ApprovalPolicy, Person
from domain.rollout_options import RolloutOptions
from tests.workflows.world import deploy, order, place, rollback
from workflows.orders import approval_for, lock_request_for, promotion_for


@pytest.fixture(autouse=True)
def _workflow_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workflow, "info", lambda: SimpleNamespace(workflow_id="op-1"))


def test_a_rollback_goes_first_and_needs_no_approval() -> None:
    wanted = rollback(place())
    request = lock_request_for(wanted)
    assert (request.urgent, request.purpose, request.workflow_id) == (True, "rollback", "op-1")
    assert approval_for(wanted).complete()
    assert promotion_for(wanted) is None


def test_a_delivery_waits_in_the_queue_under_its_version() -> None:
    request = lock_request_for(order().model_copy(update={"options": RolloutOptions(override_freeze=True)}))
    assert (request.urgent, request.purpose, request.override_freeze) == (False, "1.0.0", True)
    assert request.label == "acme/shop/dev"


def test_who_skips_the_analysis_promotes_it() -> None:
    promotion = promotion_for(deploy().model_copy(update={"options": RolloutOptions(skip_analysis=True)}))
    assert promotion is not None
    assert promotion.actor == "ann"
    assert promotion_for(deploy()) is None


def test_those_who_approved_with_an_order_of_an_older_release_count() -> None:
    rule = ApprovalPolicy(min_approvals=1, four_eyes=False)
    ann = Person(actor="ann", humans=("ann",))
    wanted = order().model_copy(update={"approval": rule, "requester": ann, "approved_by": ("ann",)})
    assert approval_for(wanted).complete()
    assert not approval_for(order().model_copy(update={"approval": rule})).complete()
