"""Operations in requests and responses."""

from typing import Literal
from uuid import UUID

from pydantic import Field

from api.schemas.base import Body, Text, Timestamp, View
from domain.facts import Fault
from domain.lifecycle import OperationKind, OperationStatus, StepName, StepStatus


class AcceptedView(View):
    """The answer with a 202: the operation will run, even if a part of the system is down at the moment."""

    operation_id: UUID
    status: OperationStatus
    resource_type: str
    resource_id: UUID
    progress_url: str
    poll_interval_seconds: int


class StepView(View):
    """One step of an operation. `waited_seconds`: for the lock or for people, which is not machine time."""

    name: StepName
    status: StepStatus
    started_at: Timestamp | None
    completed_at: Timestamp | None
    waited_seconds: float
    detail: str | None


class OperationErrorView(View):
    """Why an operation failed; `details` are facts, as in every error."""

    code: str
    message: str
    details: list[Fault]


class OperationView(View):
    """The state of an operation. `version` grows with every change.

    `temporal_ui_url`: its workflow in the Temporal UI, for platform admins if a UI is configured; else null.
    `trace_id`: of the trace of the request and all its work; null if traces are not collected.
    """

    operation_id: UUID
    kind: OperationKind
    status: OperationStatus
    done: bool
    progress_percent: int = Field(ge=0, le=100)
    eta_seconds: int | None
    current_step: str | None
    steps: list[StepView]
    error: OperationErrorView | None
    resource_type: Literal["deployment"]
    resource_id: UUID
    resource_url: str
    result_url: str | None
    project_id: UUID
    requested_by: str
    temporal_ui_url: str | None
    trace_id: str | None
    version: int
    cancel_requested_at: Timestamp | None
    created_at: Timestamp
    started_at: Timestamp | None
    completed_at: Timestamp | None


class CancelRequest(Body):
    """Why an operation is cancelled."""

    reason: Text | None = None
