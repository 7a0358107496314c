"""Who must still say yes to a deployment, and whose yes came with the request."""

import pytest

from api.auth.principal import Principal
from api.services.deployments.options import DeploymentRequest, RequiredApproval, required_approval
from domain.approvals import ApprovalPolicy, Person
from domain.lifecycle import EnvironmentName
from domain.permissions import Role, permissions_of
from domain.rollout_options import RolloutOptions
from runtime.ids import new_id

TWO = ApprovalPolicy(min_approvals=2, four_eyes=False)
FOUR_EYES = ApprovalPolicy(min_approvals=1, four_eyes=True)
ANN = Person(actor="ann", humans=("ann",))


def wanted(*, request_approval: bool = False) -> DeploymentRequest:
    return DeploymentRequest(EnvironmentName.STAGING, RolloutOptions(), request_approval=request_approval)


def person(role: Role) -> Principal:
    return Principal("ann", new_id(), role, permissions_of(role))


@pytest.mark.parametrize("role", [Role.DEVELOPER, Role.RELEASE_MANAGER])
def test_without_a_policy_nobody_is_asked_unless_the_request_wants_it(role: Role) -> None:
    assert required_approval(wanted(), person(role), None, ANN) == RequiredApproval(None, requester=ANN)
    assert required_approval(wanted(request_approval=True), person(role), None, ANN) == RequiredApproval(
        ApprovalPolicy(), (), ANN
    )


def test_an_environments_own_policy_goes_before_the_requests() -> None:
    for asked in (True, False):
        assert required_approval(wanted(request_approval=asked), person(Role.DEVELOPER), TWO, ANN) == RequiredApproval(
            TWO, (), ANN
        )


def test_who_may_approve_has_approved_by_asking_unless_four_eyes_are_wanted() -> None:
    manager = person(Role.RELEASE_MANAGER)
    assert required_approval(wanted(), manager, TWO, ANN) == RequiredApproval(TWO, ("ann",), ANN)
    assert required_approval(wanted(request_approval=True), manager, TWO, ANN) == RequiredApproval(TWO, (), ANN)
    assert required_approval(wanted(), manager, FOUR_EYES, ANN) == RequiredApproval(FOUR_EYES, (), ANN)
