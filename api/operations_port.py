"""The interface of the orchestration that the API uses."""

from collections.abc import Mapping
from typing import Any, Protocol

from contracts.operations import AbortRequest, ActionRequest, Progress
from domain.approvals import Action
from domain.lifecycle import OperationKind


class OperationsPort(Protocol):
    """Operation workflows; implemented by `orchestration.operations.Operations`."""

    async def start(self, kind: OperationKind, payload: Mapping[str, Any]) -> None:
        """Start a workflow. Idempotent. DependencyError if Temporal is down."""

    async def progress(self, workflow_id: str) -> Progress | None:
        """The workflow's progress; None if the workflow does not answer."""

    async def abort(self, workflow_id: str, request: AbortRequest) -> None:
        """Abort a rollout in progress. ConflictError or DependencyError."""

    async def check(self) -> None:
        """Check that Temporal is serving; DependencyError if it does not confirm that within a second."""

    async def decide(
        self, workflow_id: str, action: Action, request: ActionRequest | AbortRequest, *, key: str
    ) -> None:
        """Send a person's decision to a rollout. Raises ConflictError, ForbiddenError or DependencyError."""
