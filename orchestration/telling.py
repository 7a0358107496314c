"""Sends a person's action to a workflow until its outcome is known.

All senders (the API right after the commit, a relay later, or both at once) use the same update id, so that the
workflow receives it once and all senders get the same answer.
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
    """The operations of a Temporal client that actions need."""

    async def start(self, kind: OperationKind, payload: Mapping[str, Any]) -> None:
        """Start a workflow. Idempotent."""

    async def abort(self, workflow_id: str, request: AbortRequest) -> None:
        """Abort a rollout in progress."""

    async def decide(
        self, workflow_id: str, action: Action, request: ActionRequest | AbortRequest, *, key: str
    ) -> None:
        """Send a person's action to a rollout."""


class Recorded(Protocol):
    """The fields of an operation's row that are needed here."""

    kind: Any
    input: Any
    workflow_started_at: Any
    traceparent: Any

    @property
    def workflow_id(self) -> str:
        """The id of its workflow."""


@dataclass(frozen=True)
class Told:
    """A workflow's answer to an action: accepted, or refused with an error."""

    error: ConflictError | ForbiddenError | None = None

    @property
    def accepted(self) -> bool:
        """Whether the action was carried out."""
        return self.error is None

    def to_json(self) -> dict[str, Any]:
        """For storage."""
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
        """From storage."""
        if kept["accepted"]:
            return cls()
        if kept["code"] == ErrorCode.AUTHORIZATION_DENIED:
            return cls(ForbiddenError(kept["message"], details=kept["details"]))
        return cls(ConflictError(kept["message"], code=ErrorCode(kept["code"]), details=kept["details"]))


@dataclass(frozen=True)
class Telling:
    """One action to send to its workflow.

    Attributes:
        workflow_id: of the operation.
        action: the action.
        request: the actor and the reason, as JSON.
        key: the idempotency key of the action.
        unstarted: how to start the workflow if it is not started yet, since only a running one can be updated.
        traceparent: of the operation. Its start belongs to that trace and not to the action's.
    """

    workflow_id: str
    action: Action
    request: Mapping[str, Any]
    key: str
    unstarted: tuple[OperationKind, Mapping[str, Any]] | None = None
    traceparent: str | None = None

    @classmethod
    def of(cls, action: str, kept: Mapping[str, Any], operation: "Recorded") -> Self:
        """From a stored action; `operation` is the operation's row."""
        unstarted = None if operation.workflow_started_at else (OperationKind(operation.kind), operation.input)
        return cls(
            operation.workflow_id, Action(action), kept["request"], kept["key"], unstarted, operation.traceparent
        )

    async def tell(self, workflows: Teller) -> Told:
        """Send it, and wait for the answer.

        Raises:
            DependencyError: the workflow may or may not have received it; sending it again is safe.
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
