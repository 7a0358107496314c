"""The remaining time of an operation, from earlier runs. Machine time only: waiting does not count."""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from statistics import median
from typing import Protocol

from domain.lifecycle import OperationStatus, StepName, StepStatus

# From the resolutions: null before there are three earlier runs.
RUNS_NEEDED = 3
RUNS_LEARNED_FROM = 20

_AHEAD = frozenset({OperationStatus.PENDING, OperationStatus.IN_PROGRESS})

Seconds = Mapping[StepName, float]


class TimedStep(Protocol):
    """The timing of a step; `waited_seconds` and the time since `waiting_since` are not machine time."""

    @property
    def name(self) -> StepName: ...
    @property
    def status(self) -> StepStatus: ...
    @property
    def started_at(self) -> datetime | None: ...
    @property
    def completed_at(self) -> datetime | None: ...
    @property
    def waited_seconds(self) -> float: ...
    @property
    def waiting_since(self) -> datetime | None: ...


def machine_seconds(step: TimedStep, now: datetime) -> float:
    """Seconds a step has worked so far, never negative."""
    if step.started_at is None:
        return 0.0
    until = step.completed_at or now
    waited = step.waited_seconds
    if step.waiting_since is not None:
        waited += max(0.0, (until - step.waiting_since).total_seconds())
    return max(0.0, (until - step.started_at).total_seconds() - waited)


def typical_seconds(runs: Sequence[Iterable[TimedStep]], now: datetime) -> Seconds | None:
    """The median machine time of each step over completed runs; None before there are three.

    A skipped step counts as 0 s, so one that is usually skipped is expected to take no time.
    """
    if len(runs) < RUNS_NEEDED:
        return None
    spent = [{step.name: machine_seconds(step, now) for step in run} for run in runs]
    return {name: median(run.get(name, 0.0) for run in spent) for name in StepName}


def eta_seconds(
    status: OperationStatus, steps: Iterable[TimedStep], typical: Seconds | None, now: datetime
) -> int | None:
    """Seconds of machine time until an operation succeeds, rounded up.

    None if unknown: too few earlier runs, finished, or being cancelled.

    Args:
        status: of the operation.
        steps: all of its steps; the current one counts with the rest of its typical time.
        typical: typical duration of each step, from `typical_seconds`.
        now: the present moment.
    """
    if typical is None or status not in _AHEAD:
        return None
    left = 0.0
    for step in steps:
        if step.status in (StepStatus.PENDING, StepStatus.IN_PROGRESS):
            left += max(0.0, typical.get(step.name, 0.0) - machine_seconds(step, now))
    return math.ceil(left)
