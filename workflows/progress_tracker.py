"""What an operation shows of itself: to queries, in its rows, and to people in the Temporal UI."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError

from contracts.builds import Attested, ScanOutcome
from contracts.names import DELIVERY_STATUS
from contracts.operations import (
    RECORD_PROGRESS,
    DeploymentProgress,
    OperationContext,
    OperationError,
    Progress,
    RecordProgress,
    Standing,
)
from contracts.policies import PROJECTION_LIMIT
from contracts.rollouts import TrafficReport
from domain.approvals import Phase
from domain.lifecycle import (
    FINISHED_OPERATIONS,
    DeploymentStatus,
    HealthStatus,
    OperationKind,
    StepName,
    StepStatus,
)
from workflows.activity_calls import call, was_cancelled
from workflows.operation_progress import OperationProgress
from workflows.ui_details import operation_details


class ProgressTracker:
    """The progress of an operation and of its deployment. What changes is written by the next `record`.

    Queries answer a state only after its row has it: whoever asked the workflow and then, with no worker up or from a
    new API process, gets the row must not be thrown back.
    """

    def __init__(self, context: OperationContext, kind: OperationKind, steps: Iterable[StepName]) -> None:
        self._progress = OperationProgress(context.operation_id, kind, steps)
        self._recorded = self._progress.view()
        self._status_in_ui = ""
        self.deployment = DeploymentProgress(deployment_id=context.deployment_id)
        self.phase = Phase.PREPARING
        self.traffic_moved = False  # whether the new version has, or had, traffic

    @property
    def current(self) -> Progress:
        """The present state; its row may be behind."""
        return self._progress.view()

    @property
    def recorded(self) -> Progress:
        """The last state that its row has."""
        return self._recorded

    @property
    def standing(self) -> Standing:
        """The versions of both: what the row says must lie in between, unless one of the two databases was restored."""
        return Standing(known=self.current.version, recorded=self._recorded.version)

    @property
    def finished(self) -> bool:
        return self._progress.status in FINISHED_OPERATIONS

    def begin(self) -> None:
        self._progress.begin(workflow.now())

    def stopping(self) -> None:
        self._progress.stopping()

    def complete(self) -> None:
        self._progress.complete(workflow.now())

    def fail(self, error: OperationError, *, cancelled: bool) -> None:
        self._progress.fail(error, workflow.now(), cancelled=cancelled)

    @asynccontextmanager
    async def step(self, name: StepName, message: str, *, waiting: bool = False) -> AsyncIterator[None]:
        """Around the work of one step. When that fails, `fail` ends the step.

        Args:
            name: which step.
            message: what is done, for people.
            waiting: it begins with a wait for others, which is no machine time, until `end_wait`.
        """
        await self.start_step(name, message, waiting=waiting)
        yield
        self._progress.end_step(name, StepStatus.COMPLETED, workflow.now())

    async def start_step(self, name: StepName, message: str, *, waiting: bool = False) -> None:
        self._progress.start_step(name, message, workflow.now(), waiting=waiting)
        await self.record()

    def skip_step(self, name: StepName, why: str) -> None:
        self._progress.end_step(name, StepStatus.SKIPPED, workflow.now(), why)

    def settle_step(self, name: StepName, outcome: ScanOutcome | Attested) -> None:
        """The step under way is done, or was skipped when the outcome says why."""
        status = StepStatus.SKIPPED if outcome.skipped else StepStatus.COMPLETED
        self._progress.end_step(name, status, workflow.now(), outcome.skipped or outcome.detail)

    def note(self, name: StepName, detail: str) -> None:
        """What people must know of a step that is over."""
        self._progress.note(name, detail)

    def begin_wait(self) -> None:
        """The step under way waits for a person."""
        self._progress.begin_wait(workflow.now())

    def people_came(self) -> None:
        """It waits for something else than people from now on."""
        self._progress.people_came(workflow.now())

    def end_wait(self) -> None:
        """From now on it is machine time again."""
        self._progress.end_wait(workflow.now())

    async def set_step(self, message: str, *, fraction: float) -> None:
        """What is done now inside the step under way; `fraction` of that step is done."""
        self._progress.set_step(message, fraction=fraction)
        await self.record()

    def set_status(self, status: DeploymentStatus, *, health: HealthStatus | None = None) -> None:
        self.set_deployment(status=status, **({"health": health} if health else {}))

    def set_measured(self, report: TrafficReport) -> None:
        """What was seen of the new version behind the router."""
        measured = {
            "p95_response_time_ms": report.p95_response_time_ms,
            "throughput_rps": report.throughput_rps,
            "error_rate_percent": report.error_rate_percent,
        }
        metrics = {name: value for name, value in measured.items() if value is not None}
        self.set_deployment(error_rate_percent=report.error_rate_percent, performance_metrics=metrics or None)

    def set_deployment(self, **fields: Any) -> None:
        """Fields of `DeploymentProgress`."""
        self.deployment = self.deployment.model_copy(update=fields)

    async def record(self, *, final: bool = False) -> None:
        """Write the rows: best effort on the way (the next record carries everything), for certain at the end."""
        progress = self.current
        self._show(progress)
        request = RecordProgress(progress=progress, deployment=self.deployment)
        if final:
            await call(RECORD_PROGRESS, request, summary=f"record: {progress.status}")
            self._recorded = progress
            return
        try:
            await workflow.execute_local_activity(
                RECORD_PROGRESS.name,
                request,
                result_type=RECORD_PROGRESS.result,
                schedule_to_close_timeout=PROJECTION_LIMIT,
                summary=f"record: {progress.current_step}",
            )
        except ActivityError as fault:
            if was_cancelled(fault):
                raise asyncio.CancelledError from fault
            workflow.logger.warning("progress was not recorded; the next record carries it")
        else:
            self._recorded = progress

    def _show(self, progress: Progress) -> None:
        """State for people in the Temporal UI."""
        status = str(self.deployment.status or progress.status)
        if status != self._status_in_ui:
            self._status_in_ui = status
            workflow.upsert_search_attributes([DELIVERY_STATUS.value_set(status)])
        workflow.set_current_details(operation_details(progress, self.deployment))
