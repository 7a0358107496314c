"""What the API needs of orchestration."""

from collections.abc import Mapping
from typing import Any, Protocol

from contracts.operations import AbortRequest, ActionRequest, Progress
from domain.approvals import Action
from domain.lifecycle import OperationKind


class OperationsPort(Protocol):
    """Operation workflows from outside; `orchestration.operations.Operations` is the real one."""

    async def start(self, kind: OperationKind, payload: Mapping[str, Any]) -> None:
        """Start a workflow; once is enough, twice does no harm. DependencyError when Temporal is away."""

    async def progress(self, workflow_id: str) -> Progress | None:
        """The workflow's progress; None if the workflow does not answer."""

    async def abort(self, workflow_id: str, request: AbortRequest) -> None:
        """Make a rollout under way go back. ConflictError or DependencyError."""

    async def check(self) -> None:
        """Whether Temporal serves; DependencyError when it does not say so within a second."""

    async def decide(
        self, workflow_id: str, action: Action, request: ActionRequest | AbortRequest, *, key: str
    ) -> None:
        """Send a person's decision to a rollout. Raises ConflictError, ForbiddenError or DependencyError."""
