"""The policy of a deployment's analyses: the `analysis` section, combined with the rest of the spec."""

from domain.canary.policy import AnalysisPolicy
from domain.delivery_spec import DeliverySpec


def effective_policy(spec: DeliverySpec) -> AnalysisPolicy:
    """The policy of a deployment's analyses.

    Requests of one user are correlated. With sticky users, all requests of a user are on one side and count as one
    independent request, unless `analysis.design_effect` is larger.
    """
    sticky = spec.rollout.sticky
    if sticky is None:
        return spec.analysis
    effect = max(spec.analysis.design_effect, sticky.requests_per_user)
    return spec.analysis.model_copy(update={"design_effect": effect})
