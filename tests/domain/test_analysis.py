"""The policy that a delivery is judged by."""

import pytest

from domain.analysis import effective_policy
from domain.canary.policy import AnalysisPolicy
from domain.delivery_spec import DeliverySpec, RolloutSpec, StickySpec


def effect(design_effect: float, requests_per_user: float | None) -> float:
    sticky = None if requests_per_user is None else StickySpec(requests_per_user=requests_per_user)
    analysis = AnalysisPolicy(design_effect=design_effect, alpha=0.02)
    policy = effective_policy(DeliverySpec(rollout=RolloutSpec(sticky=sticky), analysis=analysis))
    assert policy.model_copy(update={"design_effect": design_effect}) == analysis, "nothing else changes"
    return policy.design_effect


@pytest.mark.parametrize(
    ("design_effect", "requests_per_user", "expected"),
    [(1, None, 1), (7, None, 7), (1, 10, 10), (7, 10, 10), (12, 10, 12), (1, 10_000, 10_000)],
)
def test_users_that_stay_on_a_side_count_once_unless_the_spec_says_more(design_effect, requests_per_user, expected):
    assert effect(design_effect, requests_per_user) == expected


def test_a_sticky_rollout_widens_by_itself():
    spec = DeliverySpec(rollout=RolloutSpec(sticky=StickySpec()))
    assert effective_policy(spec).design_effect == StickySpec().requests_per_user > 1


@pytest.mark.parametrize("younger", [(), ("provider", "prometheus")])
def test_passing_early_by_an_older_releases_default_is_not_asked_for(younger):
    """Builds keep their spec whole: of one from before `errors`, nobody knows whether `pass_early` was written."""
    stored = AnalysisPolicy(pass_early=True, duration=40).model_dump(mode="json", exclude={"errors", *younger})
    spec = DeliverySpec.model_validate({"analysis": stored})
    assert (spec.analysis.pass_early, spec.analysis.duration) == (False, 40)


def test_passing_early_is_asked_for_by_who_writes_it():
    written = DeliverySpec.model_validate({"analysis": {"pass_early": True, "duration": 40}})
    again = DeliverySpec.model_validate(written.model_dump(mode="json"))
    assert written.analysis.pass_early
    assert again == written
