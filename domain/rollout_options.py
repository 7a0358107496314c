"""The options of a rollout: one value from the request to the workflow."""

from pydantic import BaseModel, ConfigDict

from domain.lifecycle import Strategy


class RolloutOptions(BaseModel):
    """The options of one deployment.

    To add one: a field here, with a default, and a field of the same name in the request's body
    (`api/schemas/deployments.py`). Then it is stored with the deployment, copied by a retry, signed, and passed in the
    workflow's input, where the code that needs it reads it. Never rename a field: saved workflow histories contain the
    names.

    Attributes:
        strategy: how traffic moves; `deployment_strategy` of the request.
        canary_percentage: weight of the first step of a canary whose delivery spec has no steps; 0 is a dark launch.
        skip_analysis: as if it were promoted at once.
        override_freeze: ignore a closed deployment window.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    strategy: Strategy = Strategy.ROLLING
    canary_percentage: int | None = None
    skip_analysis: bool = False
    override_freeze: bool = False

    @property
    def first_weight(self) -> int | None:
        """`canary_percentage` under the name that plans and routers use."""
        return self.canary_percentage
