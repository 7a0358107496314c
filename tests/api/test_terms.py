"""Who must still say yes to a deployment, and whose yes came with the request."""

import pytest

from api.auth.principal import Principal
from api.services.deployments.options import Consent, Terms, consent_of
from domain.approvals import ApprovalPolicy, Person
from domain.lifecycle import EnvironmentName, Strategy
from domain.permissions import Role, permissions_of
from runtime.ids import new_id

TWO = ApprovalPolicy(min_approvals=2, four_eyes=False)
FOUR_EYES = ApprovalPolicy(min_approvals=1, four_eyes=True)
ANN = Person(actor="ann", humans=("ann",))


def terms(*, request_approval: bool = False) -> Terms:
    return Terms(EnvironmentName.STAGING, Strategy.ROLLING, request_approval=request_approval)


def person(role: Role) -> Principal:
    return Principal("ann", new_id(), role, permissions_of(role))


@pytest.mark.parametrize("role", [Role.DEVELOPER, Role.RELEASE_MANAGER])
def test_without_a_policy_nobody_is_asked_unless_the_request_wants_it(role: Role) -> None:
    assert consent_of(terms(), person(role), None, ANN) == Consent(None, requester=ANN)
    assert consent_of(terms(request_approval=True), person(role), None, ANN) == Consent(ApprovalPolicy(), (), ANN)


def test_an_environments_own_policy_goes_before_the_requests() -> None:
    for asked in (True, False):
        assert consent_of(terms(request_approval=asked), person(Role.DEVELOPER), TWO, ANN) == Consent(TWO, (), ANN)


def test_who_may_approve_has_approved_by_asking_unless_four_eyes_are_wanted() -> None:
    manager = person(Role.RELEASE_MANAGER)
    assert consent_of(terms(), manager, TWO, ANN) == Consent(TWO, ("ann",), ANN)
    assert consent_of(terms(request_approval=True), manager, TWO, ANN) == Consent(TWO, (), ANN)
    assert consent_of(terms(), manager, FOUR_EYES, ANN) == Consent(FOUR_EYES, (), ANN)
