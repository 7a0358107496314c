"""Telling a workflow what somebody decided, until it is known what came of it.

Whoever tells it (the API right after the commit, a relay later, both at once) uses the same update id, so that the
workflow hears of it once; what it said is the same for all of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

from contracts.operations import AbortRequest, ActionRequest
from domain.approvals import Action
from domain.errors import ConflictError, ErrorCode, ForbiddenError
from domain.lifecycle import OperationKind
from runtime.tracing import within


class Teller(Protocol):
    """Operation workflows from outside, as far as decisions go."""

    async def start(self, kind: OperationKind, payload: Mapping[str, Any]) -> None:
        """Start a workflow; once is enough, twice does no harm."""

    async def abort(self, workflow_id: str, request: AbortRequest) -> None:
        """Make a rollout under way go back."""

    async def decide(
        self, workflow_id: str, action: Action, request: ActionRequest | AbortRequest, *, key: str
    ) -> None:
        """Tell a rollout what somebody decided."""


class Recorded(Protocol):
    """What is to be known of an operation's row."""

    kind: Any
    input: Any
    workflow_started_at: Any
    traceparent: Any

    @property
    def workflow_id(self) -> str:
        """Of its workflow."""


@dataclass(frozen=True)
class Told:
    """What a workflow said to a decision: accepted, or refused with an error."""

    error: ConflictError | ForbiddenError | None = None

    @property
    def accepted(self) -> bool:
        """Whether it was carried out."""
        return self.error is None

    def to_json(self) -> dict[str, Any]:
        """For keeping."""
        if self.error is None:
            return {"accepted": True}
        return {
            "accepted": False,
            "code": str(self.error.code),
            "message": self.error.message,
            "details": self.error.details,
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Self:
        """As it was kept."""
        if kept["accepted"]:
            return cls()
        if kept["code"] == ErrorCode.AUTHORIZATION_DENIED:
            return cls(ForbiddenError(kept["message"], details=kept["details"]))
        return cls(ConflictError(kept["message"], code=ErrorCode(kept["code"]), details=kept["details"]))


@dataclass(frozen=True)
class Telling:
    """One decision on its way to its workflow.

    Attributes:
        workflow_id: of the operation.
        action: what is asked of it.
        request: who asks, and why; as JSON.
        key: names the decision; told twice under it, it is the same one.
        unstarted: how to start the workflow, when nobody has yet: what does not run cannot be told anything.
        traceparent: of the operation, whose start belongs to its own trace and not to the decision's.
    """

    workflow_id: str
    action: Action
    request: Mapping[str, Any]
    key: str
    unstarted: tuple[OperationKind, Mapping[str, Any]] | None = None
    traceparent: str | None = None

    @classmethod
    def of(cls, action: str, kept: Mapping[str, Any], operation: "Recorded") -> Self:
        """How a decision is told that was kept; `operation` is its row."""
        unstarted = None if operation.workflow_started_at else (OperationKind(operation.kind), operation.input)
        return cls(
            operation.workflow_id, Action(action), kept["request"], kept["key"], unstarted, operation.traceparent
        )

    async def tell(self, workflows: Teller) -> Told:
        """Tell it, and wait for the answer.

        Raises:
            DependencyError: nobody knows whether it was told; telling it again does no harm.
        """
        try:
            if self.unstarted is not None:
                with within(self.traceparent):
                    await workflows.start(*self.unstarted)
            if self.action is Action.ABORT:
                await workflows.abort(self.workflow_id, AbortRequest.model_validate(self.request))
            else:
                model = AbortRequest if self.action is Action.REJECT else ActionRequest
                request = model.model_validate(self.request)
                await workflows.decide(self.workflow_id, self.action, request, key=self.key)
        except (ConflictError, ForbiddenError) as refused:
            return Told(refused)
        return Told()
