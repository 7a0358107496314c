"""Rollout plans: all steps of a new release to 100 % of the traffic, computed before it starts.

A plan is a tuple of small steps that a workflow carries out one after another. Invariants (tested by property): serving
capacity never falls below the stable release's; traffic goes only to instances that became healthy; weights of the new
release never fall; the last weight is 100; an old instance is drained before it is stopped; a release without any
traffic so far gets all of it only after a person or a check allowed it.
"""

import math
from enum import StrEnum
from itertools import pairwise

from pydantic import BaseModel, ConfigDict, Field

from domain.delivery_spec import CanaryStep, DeliverySpec, RolloutSpec
from domain.errors import UnprocessableError
from domain.lifecycle import Strategy
from domain.rollout_options import RolloutOptions

FULL = 100


class StepKind(StrEnum):
    """The kind of a plan step."""

    START = "start"  # start the new release up to `count` instances and await their health
    PROCESSES = "processes"  # start the process types beside the service; those of a new version must stay up
    SHIFT = "shift"  # shift traffic: `weight` percent to the new release (0: its preview only)
    CHECK = "check"  # request the new release by its preview: its health path and `paths`
    VERIFY = "verify"  # probe the new release through the router for `seconds`
    PAUSE = "pause"  # wait `seconds` (None: until a person resumes)
    ANALYSE = "analyse"  # compare new and stable for `seconds`
    SHRINK = "shrink"  # drain and stop old instances until `count` are left
    PROMOTE = "promote"  # the new release becomes the stable one
    RETIRE = "retire"  # keep the old release for `seconds`, then drain and stop it


class PlanStep(BaseModel):
    """One step; only the fields of its kind are set."""

    model_config = ConfigDict(frozen=True)

    kind: StepKind
    count: int | None = None
    weight: int | None = Field(default=None, ge=0, le=FULL)
    seconds: float | None = None
    paths: tuple[str, ...] = ()

    def describe(self) -> str:  # noqa: C901, PLR0911 - one sentence a kind
        """The step in words."""
        match self.kind:
            case StepKind.START:
                return f"Starting {self.count} instance{'s' if self.count != 1 else ''} of the new version"
            case StepKind.PROCESSES:
                return "Starting the process types beside the service"
            case StepKind.SHIFT if self.weight == 0:
                return "Opening the preview of the new version"
            case StepKind.CHECK:
                return "Checking the new version on its preview"
            case StepKind.SHIFT:
                return f"Sending {self.weight} % of the traffic to the new version"
            case StepKind.VERIFY:
                return "Watching the new version under traffic"
            case StepKind.PAUSE:
                return "Holding until somebody resumes" if self.seconds is None else f"Holding for {self.seconds:g} s"
            case StepKind.ANALYSE:
                return "Comparing the new version with the stable one"
            case StepKind.SHRINK:
                return f"Draining the old version down to {self.count}"
            case StepKind.PROMOTE:
                return "Making the new version the stable one"
            case StepKind.RETIRE:
                return "Retiring the old version"


class RolloutPlan(BaseModel):
    """The steps of one rollout, in order."""

    model_config = ConfigDict(frozen=True)

    strategy: Strategy
    replicas: int
    old_replicas: int
    steps: tuple[PlanStep, ...]


def _start(count: int) -> PlanStep:
    return PlanStep(kind=StepKind.START, count=count)


def _shift(weight: int) -> PlanStep:
    return PlanStep(kind=StepKind.SHIFT, weight=weight)


def _finish(old_replicas: int, *, keep: float) -> list[PlanStep]:
    steps = [PlanStep(kind=StepKind.PROMOTE)]
    if old_replicas:
        steps.append(PlanStep(kind=StepKind.RETIRE, seconds=keep))
    return steps


def plan_delivery(
    spec: DeliverySpec,
    options: RolloutOptions,
    *,
    replicas: int,
    old_replicas: int,
    returning: bool = False,
) -> RolloutPlan:
    """The plan of one deployment, from its delivery spec and its request.

    Args:
        spec: the delivery spec of the build.
        options: of the request.
        replicas: instances wanted of the new release.
        old_replicas: instances of the stable release; 0 when there is none (first deployment).
        returning: the release was stable before and still runs: one switch is enough.
    """
    if returning:
        return plan_return(replicas=replicas, old_replicas=old_replicas, keep=spec.rollout.scale_down_delay)
    steps = steps_of(
        options.strategy, spec.rollout, first_weight=options.first_weight, analysis_seconds=spec.analysis.duration
    )
    if not spec.analysis.has_limits:  # with 100 % of the traffic there is no other release to compare with
        steps = tuple(s.model_copy(update={"analyse": None}) if s.weight == FULL else s for s in steps)
    return plan_rollout(
        options.strategy,
        spec.rollout,
        replicas=replicas,
        old_replicas=old_replicas,
        steps=steps,
        first_analysis=spec.analysis.duration if spec.analysis.has_limits else None,
    )


def plan_rollout(
    strategy: Strategy,
    rollout: RolloutSpec,
    *,
    replicas: int,
    old_replicas: int,
    steps: tuple[CanaryStep, ...] = (),
    first_analysis: float | None = None,
) -> RolloutPlan:
    """The plan of a rollout.

    Args:
        strategy: how traffic moves.
        rollout: the `rollout` section of the delivery spec.
        replicas: instances wanted of the new release.
        old_replicas: instances of the stable release; 0 when there is none (first deployment).
        steps: canary and ramp only: the intermediate weights.
        first_analysis: canary and ramp without a stable release to compare with: seconds to judge the new one by
            absolute limits; None if there are none.
    """
    if replicas < 1 or old_replicas < 0:
        raise UnprocessableError("a rollout needs at least one new instance and no negative old ones")
    keep = rollout.scale_down_delay
    if strategy is Strategy.BLUE_GREEN:
        body = _plan_blue_green(rollout, replicas)
    elif old_replicas == 0:
        stepped = strategy in (Strategy.CANARY, Strategy.RAMP)
        dark = strategy is Strategy.CANARY and bool(steps) and steps[0].weight == 0
        body = _plan_first(rollout, replicas, first_analysis if stepped else None, dark=dark)
    elif strategy is Strategy.ROLLING:
        body = _plan_rolling(rollout, replicas, old_replicas)
        keep = 0.0
    else:
        check_canary_steps(steps)
        body = _plan_stepped(rollout, replicas, steps)
    ending = _finish(old_replicas, keep=keep)
    return RolloutPlan(strategy=strategy, replicas=replicas, old_replicas=old_replicas, steps=tuple(body + ending))


def steps_of(
    strategy: Strategy, rollout: RolloutSpec, *, first_weight: int | None, analysis_seconds: float
) -> tuple[CanaryStep, ...]:
    """The intermediate weights: the spec's own, else the defaults of strategy and request.

    Args:
        strategy: only canary and ramp have any.
        rollout: the `rollout` section of the delivery spec.
        first_weight: of the request; the single step of a canary whose spec has none; 0 is a dark launch, which waits
            until a person resumes.
        analysis_seconds: limit of the analysis of that step.
    """
    if strategy is Strategy.RAMP:
        step, interval = rollout.ramp.step_percent, rollout.ramp.interval
        return tuple(CanaryStep(weight=weight, analyse=interval) for weight in range(step, FULL, step))
    if strategy is not Strategy.CANARY:
        return ()
    if first_weight == 0:
        return (CanaryStep(weight=0, pause="manual"), *(step for step in rollout.canary.steps if step.weight))
    if rollout.canary.steps:
        return rollout.canary.steps
    return (CanaryStep(weight=first_weight or FULL, analyse=analysis_seconds),)


def plan_rollback(*, replicas: int, old_replicas: int) -> RolloutPlan:
    """The plan of a rollback to a former stable release: one switch without analysis, then the bad release stops."""
    return plan_return(replicas=replicas, old_replicas=old_replicas, keep=0)


def with_processes(plan: RolloutPlan, *, good: bool, seconds: float = 0) -> RolloutPlan:
    """The plan for a release with process types beside its service.

    A new version's processes start after all checks and before it gets all of the traffic: processing users' jobs is
    equivalent to traffic. A canary in progress, or in a dark launch, has none running. A release that was stable before
    gets the traffic first.

    Args:
        plan: without them.
        good: the release was stable before: processes are started without a check.
        seconds: how long they must stay up.
    """
    step = PlanStep(kind=StepKind.PROCESSES, seconds=None if good else seconds)
    kinds = [each.kind for each in plan.steps]
    at = kinds.index(StepKind.PROMOTE) + 1 if good else [each.weight for each in plan.steps].index(FULL)
    return plan.model_copy(update={"steps": (*plan.steps[:at], step, *plan.steps[at:])})


def plan_return(*, replicas: int, old_replicas: int, keep: float) -> RolloutPlan:
    """The plan for a release that was stable before: health, one switch; the other is kept for `keep` seconds."""
    steps = (_start(replicas), _shift(FULL), *_finish(old_replicas, keep=keep))
    return RolloutPlan(strategy=Strategy.BLUE_GREEN, replicas=replicas, old_replicas=old_replicas, steps=steps)


def _plan_first(rollout: RolloutSpec, replicas: int, analysis: float | None, *, dark: bool) -> list[PlanStep]:
    """The first release, without a stable one to compare with: health, all of the traffic, then absolute limits.

    A dark launch is possible here too: reachable by its preview only, until a person resumes.
    """
    hidden = [_shift(0), PlanStep(kind=StepKind.PAUSE)] if dark else []
    return [_start(replicas), *hidden, _shift(FULL), _verify(rollout), *_analyse(analysis)]


def _plan_blue_green(rollout: RolloutSpec, replicas: int) -> list[PlanStep]:
    around = rollout.blue_green
    hold = [PlanStep(kind=StepKind.PAUSE)] if around.manual else []
    return [
        _start(replicas),
        _shift(0),
        PlanStep(kind=StepKind.CHECK, paths=around.checks),
        *hold,
        _shift(FULL),
        _verify(rollout),
        *_analyse(around.analyse),
    ]


def _verify(rollout: RolloutSpec) -> PlanStep:
    return PlanStep(kind=StepKind.VERIFY, seconds=rollout.verify_seconds)


def _analyse(seconds: float | None) -> list[PlanStep]:
    return [] if seconds is None else [PlanStep(kind=StepKind.ANALYSE, seconds=seconds)]


def _plan_rolling(rollout: RolloutSpec, replicas: int, old_replicas: int) -> list[PlanStep]:
    surge = max(1, math.ceil(replicas * rollout.max_surge_percent / 100))
    out: list[PlanStep] = []
    new, old = 0, old_replicas
    while new < replicas:
        new = min(replicas, new + surge)
        left = min(old, max(replicas, old_replicas) - new) if new < replicas else 0
        weight = FULL if left == 0 else round(FULL * new / (new + left))
        out += [_start(new), _shift(weight)]
        if 0 < left < old:
            out.append(PlanStep(kind=StepKind.SHRINK, count=left))
            old = left
    out.append(_verify(rollout))
    return out


def _plan_stepped(rollout: RolloutSpec, replicas: int, steps: tuple[CanaryStep, ...]) -> list[PlanStep]:
    out: list[PlanStep] = [_start(replicas)]
    for step, after in pairwise((*steps, CanaryStep(weight=FULL))):
        out.append(_shift(step.weight))
        if step.pause is not None:
            out.append(PlanStep(kind=StepKind.PAUSE, seconds=None if step.pause == "manual" else step.pause))
        out += _analyse(step.analyse)
        if step.weight == 0 and after.weight == FULL and step.pause != "manual":
            # However long it was dark: a release without traffic so far never gets all of it automatically.
            out.append(PlanStep(kind=StepKind.PAUSE))
    if steps[-1].weight != FULL:
        out.append(_shift(FULL))
    out.append(_verify(rollout))
    return out


def check_canary_steps(steps: tuple[CanaryStep, ...]) -> None:
    """Raise `UnprocessableError` unless the weights rise."""
    if not steps:
        raise UnprocessableError("a canary or ramp needs at least one step below 100 %")
    if any(b.weight <= a.weight for a, b in pairwise(steps)):
        raise UnprocessableError(f"weights must rise from step to step, got {[s.weight for s in steps]}")
