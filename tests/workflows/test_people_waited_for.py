"""Waiting for people is told apart from other waiting: an hour for an approval, then for the lock, then a pause."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from contracts.operations import OperationError, StepProgress
from domain.eta import machine_seconds
from domain.lifecycle import OperationKind, StepName
from workflows.operation_progress import OperationProgress

BEGIN = datetime(2026, 3, 2, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def begun() -> OperationProgress:
    progress = OperationProgress(uuid4(), OperationKind.DEPLOY, [StepName.ROLLOUT])
    progress.begin(at(0))
    progress.start_step(StepName.ROLLOUT, "Preparing the rollout", at(0), waiting=True)
    return progress


def rollout(progress: OperationProgress) -> StepProgress:
    [step] = progress.view().steps
    return step


def test_each_kind_of_waiting_is_added_up() -> None:
    progress = begun()
    progress.begin_wait(at(10))  # for an approval
    progress.people_came(at(3610))  # and now for the lock
    progress.end_wait(at(3640))
    progress.begin_wait(at(3700))  # somebody paused it
    progress.end_wait(at(3800))
    progress.complete(at(3900))
    step = rollout(progress)
    assert (step.waited_seconds, step.people_seconds, step.waits_for_people) == (3740.0, 3700.0, False)
    assert machine_seconds(step, at(3900)) == 160.0


def test_who_is_rejected_or_cancelled_waited_for_people_until_then() -> None:
    progress = begun()
    progress.begin_wait(at(0))
    progress.fail(OperationError(code="CANCELLED", message="no"), at(50), cancelled=True)
    step = rollout(progress)
    assert (step.waited_seconds, step.people_seconds, step.waiting_since) == (50.0, 50.0, None)


def test_without_people_none_were_waited_for() -> None:
    progress = begun()
    progress.end_wait(at(30))
    assert (rollout(progress).waited_seconds, rollout(progress).people_seconds) == (30.0, 0.0)


def test_versions_are_those_that_older_workers_counted() -> None:
    """A workflow that is replayed at an upgrade must not know another version than its row."""
    progress = begun()
    before = progress.view().version
    progress.begin_wait(at(1))
    progress.people_came(at(2))
    assert progress.view().version == before
