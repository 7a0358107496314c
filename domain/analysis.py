"""How a delivery is judged: the `analysis` section, together with what the rest of the spec means for it."""

from domain.canary.policy import AnalysisPolicy
from domain.delivery_spec import DeliverySpec


def effective_policy(spec: DeliverySpec) -> AnalysisPolicy:
    """The policy of a delivery's analyses.

    Requests of one user resemble each other. Where users stay on the version they met, a user's requests all lie on one
    side and count as one independent request, unless `analysis.design_effect` says that even more of them do.
    """
    sticky = spec.rollout.sticky
    if sticky is None:
        return spec.analysis
    effect = max(spec.analysis.design_effect, sticky.requests_per_user)
    return spec.analysis.model_copy(update={"design_effect": effect})
