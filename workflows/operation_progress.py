"""How far an operation is: its steps and their states. Only state; `ProgressTracker` shows it to others."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from contracts.operations import OperationError, Progress, StepProgress
from contracts.payload import bounded
from domain.lifecycle import (
    OPERATION_TRANSITIONS,
    OperationKind,
    OperationStatus,
    StepName,
    StepStatus,
    check_transition,
)
from domain.progress import percent_done


class OperationProgress:
    """Every change raises `version`; `view` is what queries answer and rows store."""

    def __init__(self, operation_id: UUID, kind: OperationKind, steps: Iterable[StepName]) -> None:
        self._steps = {name: StepProgress(name=name) for name in steps}
        self._progress = Progress(operation_id=operation_id, kind=kind, status=OperationStatus.PENDING)

    @property
    def status(self) -> OperationStatus:
        return self._progress.status

    def view(self) -> Progress:
        return self._progress

    def begin(self, now: datetime) -> None:
        """Under way, unless a stop was asked for already."""
        if self.status is OperationStatus.CANCELLING:
            self._change(started_at=now)
            return
        self._move(OperationStatus.IN_PROGRESS, started_at=now, current_step="Starting")

    def start_step(self, name: StepName, message: str, now: datetime, *, waiting: bool = False) -> None:
        """A step is under way; `waiting`: it begins with a wait for others, until `end_wait`."""
        self._steps[name] = self._steps[name].model_copy(
            update={
                "status": StepStatus.IN_PROGRESS,
                "started_at": self._steps[name].started_at or now,
                "waiting_since": now if waiting else None,
                "people_seconds": self._steps[name].people_seconds or 0.0,
            }
        )
        self._change(current_step=message)

    def begin_wait(self, now: datetime) -> None:
        """The step under way waits for a person from now on, until `end_wait` or `people_came`."""
        for name, step in self._steps.items():
            if step.status is StepStatus.IN_PROGRESS:
                waiting = {"waiting_since": now, "waits_for_people": True}
                self._steps[name] = _without_wait(step, now).model_copy(update=waiting)

    def people_came(self, now: datetime) -> None:
        """What is waited for from now on is no person."""
        for name, step in self._steps.items():
            if step.waits_for_people:
                self._steps[name] = _without_wait(step, now).model_copy(update={"waiting_since": now})

    def end_wait(self, now: datetime) -> None:
        """What was waited for is there: from now on it is machine time again."""
        waiting = {name: step for name, step in self._steps.items() if step.waiting_since is not None}
        for name, step in waiting.items():
            self._steps[name] = _without_wait(step, now)
        if waiting:
            self._change()

    def set_step(self, message: str, *, fraction: float) -> None:
        """What is done now inside the step under way, and how much of that step is done."""
        self._change(current_step=message, fraction=fraction)

    def end_step(self, name: StepName, status: StepStatus, now: datetime, detail: str | None = None) -> None:
        before = _without_wait(self._steps[name], now)
        noted = before.detail if status is StepStatus.COMPLETED else None
        self._steps[name] = before.model_copy(
            update={
                "status": status,
                "completed_at": now,
                "detail": bounded(detail, 1024) if detail else noted,
            }
        )
        self._change()

    def note(self, name: StepName, detail: str) -> None:
        """What people must know of a step that is over; the next record has it."""
        self._steps[name] = self._steps[name].model_copy(update={"detail": bounded(detail, 1024)})
        self._change()

    def stopping(self) -> None:
        if OperationStatus.CANCELLING in OPERATION_TRANSITIONS[self.status]:
            self._move(OperationStatus.CANCELLING, current_step="Stopping")

    def complete(self, now: datetime) -> None:
        self._move(OperationStatus.COMPLETED, completed_at=now, progress_percent=100, current_step=None)

    def fail(self, error: OperationError, now: datetime, *, cancelled: bool = False) -> None:
        """End badly: the step under way carries the fault, what was not reached is cancelled."""
        ended = StepStatus.CANCELLED if cancelled else StepStatus.FAILED
        for name, step in self._steps.items():
            if step.status is StepStatus.IN_PROGRESS:
                self._steps[name] = _without_wait(step, now).model_copy(
                    update={"status": ended, "completed_at": now, "detail": bounded(error.message, 1024)}
                )
            elif step.status is StepStatus.PENDING:
                self._steps[name] = step.model_copy(update={"status": StepStatus.CANCELLED})
        status = OperationStatus.CANCELLED if cancelled else OperationStatus.FAILED
        self._move(status, completed_at=now, error=error, current_step=None)

    def _move(self, status: OperationStatus, **changes: Any) -> None:
        check_transition(OPERATION_TRANSITIONS, self.status, status)
        self._change(status=status, **changes)

    def _change(self, fraction: float = 0.0, **changes: Any) -> None:
        statuses = {name: step.status for name, step in self._steps.items()}
        percent = percent_done(statuses, fraction=fraction, before=self._progress.progress_percent)
        update = {
            "version": self._progress.version + 1,
            "steps": tuple(self._steps.values()),
            "progress_percent": percent,
            **changes,
        }
        self._progress = self._progress.model_copy(update=update)


def _without_wait(step: StepProgress, now: datetime) -> StepProgress:
    """The step with its wait, if it is in one, ended and added up."""
    if step.waiting_since is None:
        return step
    seconds = max(0.0, (now - step.waiting_since).total_seconds())
    update: dict[str, Any] = {
        "waited_seconds": step.waited_seconds + seconds,
        "waiting_since": None,
        "waits_for_people": False,
    }
    if step.waits_for_people:
        update["people_seconds"] = (step.people_seconds or 0.0) + seconds
    return step.model_copy(update=update)
