"""The moments of a build-and-deploy at which something can be killed, and telling from its row when one is reached."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from domain.delivery_spec import RolloutSpec
from domain.lifecycle import FINISHED_OPERATIONS, StepName, StepStatus, Strategy
from domain.rollout import PlanStep, plan_rollout

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Moment:
    """A step of the operation, or a step of its rollout's plan."""

    name: str
    order: int
    step: StepName
    words: str | None = None

    def __str__(self) -> str:
        return self.name


def moments(replicas: int) -> tuple[Moment, ...]:
    """All moments in order, as the domain enumerates them."""
    found: list[Moment] = []
    for step in (s for s in StepName if s is not StepName.ROLLOUT):
        found.append(Moment(step, len(found), step))
    for planned in _plan(replicas):
        name = f"{StepName.ROLLOUT}:{planned.kind}"
        found.append(Moment(name, len(found), StepName.ROLLOUT, planned.describe()))
    return tuple(found)


def _plan(replicas: int) -> tuple[PlanStep, ...]:
    return plan_rollout(Strategy.BLUE_GREEN, RolloutSpec(), replicas=replicas, old_replicas=replicas).steps


def reached(row: Row, moment: Moment, among: tuple[Moment, ...]) -> bool:
    """Whether the operation stands at the moment or is past it already."""
    return row["status"] in FINISHED_OPERATIONS or position(row, among) >= moment.order


def position(row: Row, among: tuple[Moment, ...]) -> int:
    """The order of the newest moment that was reached; -1 before the first."""
    begun = {s["name"] for s in row["steps"] if s["status"] not in (StepStatus.PENDING, StepStatus.SKIPPED)}
    at = -1
    for moment in among:
        if moment.words is None and moment.step in begun:
            at = moment.order
        if moment.words is not None and moment.words == row["current_step"]:
            return moment.order
    return at
