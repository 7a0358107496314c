"""The invariants of rollout plans, for every strategy and size: a plan is carried out on paper and watched."""

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.canary.policy import AnalysisPolicy
from domain.delivery_spec import BlueGreenSpec, CanarySpec, DeliverySpec, RolloutSpec
from domain.errors import UnprocessableError
from domain.lifecycle import Strategy
from domain.rollout import (
    FULL,
    CanaryStep,
    PlanStep,
    RolloutPlan,
    StepKind,
    check_canary_steps,
    plan_delivery,
    plan_return,
    plan_rollout,
    steps_of,
    with_processes,
)
from domain.rollout_options import RolloutOptions
from tests.support.deep import by_depth

holds = st.none() | st.floats(0.001, 600)
options = st.builds(
    RolloutSpec,
    max_surge_percent=st.integers(1, 100),
    scale_down_delay=st.floats(0, 3600),
    verify_seconds=st.floats(0, 600),
    blue_green=st.builds(BlueGreenSpec, manual=st.booleans(), analyse=holds),
)


FIVE = RolloutOptions(strategy=Strategy.CANARY, canary_percentage=5)


@st.composite
def canary_steps(draw: st.DrawFn) -> tuple[CanaryStep, ...]:
    weights = sorted(draw(st.sets(st.integers(0, FULL), min_size=1, max_size=8)))
    pauses = holds | st.just("manual")
    return tuple(
        CanaryStep(weight=weight, pause=draw(pauses), analyse=draw(holds) if weight else None) for weight in weights
    )


@st.composite
def plans(draw: st.DrawFn) -> RolloutPlan:
    return plan_rollout(
        draw(st.sampled_from(Strategy)),
        draw(options),
        replicas=draw(st.integers(1, 50)),
        old_replicas=draw(st.integers(0, 50)),
        steps=draw(canary_steps()),
        first_analysis=draw(holds),
    )


@dataclass
class Paper:
    """The state of the world while a plan is carried out."""

    old: int
    new: int = 0
    weight: int = 0
    dark: bool = False
    cleared: bool = False
    working: bool = False
    promoted: bool = False
    retired: bool = False

    def carry_out(self, step: PlanStep) -> None:
        match step.kind:
            case StepKind.START:
                assert step.count is not None
                assert step.count > self.new, "a start brings something"
                self.new = step.count
            case StepKind.PROCESSES:
                assert self.new > 0, "the service is well before its workers begin"
                assert not self.dark or self.cleared, "what waits in the dark works on nobody's jobs"
                self.working = True
            case StepKind.SHIFT:
                assert step.weight is not None
                assert step.weight >= self.weight, "weights of the new release never fall"
                assert self.new > 0, "traffic and previews go only to instances awaited healthy"
                assert step.weight < FULL or not self.dark or self.cleared, "not from nobody to everybody by itself"
                self.dark = step.weight == 0
                self.weight = step.weight
            case StepKind.SHRINK:
                assert step.count is not None
                assert 0 < step.count < self.old, (
                    "a shrink takes something and leaves something for the rest of the traffic"
                )
                self.old = step.count
            case StepKind.PROMOTE:
                assert self.weight == FULL, "only what has all of the traffic becomes stable"
                self.promoted = True
            case StepKind.RETIRE:
                assert self.promoted, "the old release is kept until the new one is stable"
                self.old, self.retired = 0, True
            case StepKind.ANALYSE:
                assert self.weight > 0, "an analysis has traffic"
            case StepKind.PAUSE | StepKind.CHECK:
                assert self.new > 0, "there is something to look at"
                self.cleared = step.seconds is None
            case StepKind.VERIFY:
                assert self.new > 0, "there is something to watch"


@given(plans())
@settings(max_examples=by_depth(short=25, long=300))
def test_the_invariants_hold_at_every_step(plan):
    paper = Paper(old=plan.old_replicas)
    for step in plan.steps:
        paper.carry_out(step)
        if paper.weight < FULL:
            assert paper.old + paper.new >= plan.old_replicas, "capacity never falls below the stable release's"
            assert paper.old > 0 or plan.old_replicas == 0, "who has a share of the traffic has instances"
        else:
            assert paper.new == plan.replicas, "all of the traffic goes to all that were asked for"
    assert paper.weight == FULL
    assert paper.promoted
    assert paper.retired == (plan.old_replicas > 0)
    assert paper.new == plan.replicas


@given(plans(), st.floats(0, 600))
def test_the_processes_beside_a_new_version_begin_when_it_is_to_get_all_of_the_traffic(plan, seconds):
    paper = Paper(old=plan.old_replicas)
    longer = with_processes(plan, good=False, seconds=seconds)
    for step in longer.steps:
        if step.weight == FULL:
            assert paper.working
        paper.carry_out(step)
        assert paper.working or paper.weight < FULL
    assert [step for step in longer.steps if step.kind is not StepKind.PROCESSES] == list(plan.steps)


def test_what_comes_back_has_the_traffic_before_its_processes():
    plan = with_processes(plan_return(replicas=1, old_replicas=1, keep=0), good=True)
    kinds = [step.kind for step in plan.steps]
    assert kinds[1:] == [StepKind.SHIFT, StepKind.PROMOTE, StepKind.PROCESSES, StepKind.RETIRE]


@given(plans())
def test_a_share_of_the_traffic_is_the_share_of_the_instances_when_rolling(plan):
    if plan.strategy is not Strategy.ROLLING or plan.old_replicas == 0:
        return
    paper = Paper(old=plan.old_replicas)
    for index, step in enumerate(plan.steps):
        paper.carry_out(step)
        if step.kind is StepKind.SHIFT and step.weight != FULL:
            after = plan.steps[index + 1]
            left = after.count if after.kind is StepKind.SHRINK and after.count is not None else paper.old
            assert abs(paper.weight / FULL - paper.new / (paper.new + left)) <= 0.0051


@given(plans())
def test_every_step_can_be_shown_and_survives_a_payload(plan):
    assert all(step.describe() for step in plan.steps)
    assert RolloutPlan.model_validate_json(plan.model_dump_json()) == plan


@given(options, st.integers(1, 50), st.integers(0, 50), holds)
def test_a_dark_launch_moves_no_traffic_before_somebody_resumes(spec, replicas, old, pause):
    steps = (CanaryStep(weight=0, pause=pause),)
    plan = plan_rollout(Strategy.CANARY, spec, replicas=replicas, old_replicas=old, steps=steps)
    moved = next(i for i, step in enumerate(plan.steps) if step.weight)
    assert any(step.kind is StepKind.PAUSE and step.seconds is None for step in plan.steps[:moved])


def test_a_canary_of_0_percent_is_a_dark_launch_and_then_what_the_spec_says():
    options = RolloutSpec(canary=CanarySpec(steps=(CanaryStep(weight=10, analyse=60),)))
    steps = steps_of(Strategy.CANARY, options, first_weight=0, analysis_seconds=300)
    assert [(step.weight, step.pause) for step in steps] == [(0, "manual"), (10, None)]


def test_an_analysis_without_traffic_is_refused():
    with pytest.raises(ValueError, match="gets no traffic"):
        CanaryStep(weight=0, analyse=60)


def test_what_returns_is_there_with_one_switch_and_nothing_else():
    plan = plan_delivery(DeliverySpec(), FIVE, replicas=2, old_replicas=2, returning=True)
    assert [step.kind for step in plan.steps] == [StepKind.START, StepKind.SHIFT, StepKind.PROMOTE, StepKind.RETIRE]


def test_a_first_canary_is_judged_by_absolute_limits_only():
    limited = DeliverySpec(analysis=AnalysisPolicy(max_error_rate=5))
    for spec, judged in ((limited, True), (DeliverySpec(), False)):
        plan = plan_delivery(spec, FIVE, replicas=1, old_replicas=0)
        assert (StepKind.ANALYSE in [step.kind for step in plan.steps]) is judged


@given(st.lists(st.integers(0, FULL), max_size=6))
def test_weights_must_rise(weights):
    steps = tuple(CanaryStep(weight=weight) for weight in weights)
    if weights and weights == sorted(set(weights)):
        check_canary_steps(steps)
    else:
        with pytest.raises(UnprocessableError):
            check_canary_steps(steps)


@pytest.mark.parametrize(("replicas", "old"), [(0, 1), (1, -1)])
def test_impossible_sizes(replicas, old):
    with pytest.raises(UnprocessableError):
        plan_rollout(Strategy.ROLLING, RolloutSpec(), replicas=replicas, old_replicas=old)
