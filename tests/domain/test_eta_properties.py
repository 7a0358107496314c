"""The rule of `eta_seconds`: learned from three runs on, machine time only, never negative."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from domain.eta import RUNS_NEEDED, eta_seconds, machine_seconds, typical_seconds
from domain.lifecycle import OperationStatus, StepName, StepStatus

NOW = datetime(2024, 10, 26, 10, 30, tzinfo=UTC)
SECONDS = st.floats(0, 100_000)
RUNNING = OperationStatus.IN_PROGRESS


@dataclass(frozen=True)
class Step:
    name: StepName
    status: StepStatus = StepStatus.PENDING
    started_at: datetime | None = None
    completed_at: datetime | None = None
    waited_seconds: float = 0.0
    waiting_since: datetime | None = None


def ended(name: StepName, seconds: float, waited: float = 0.0) -> Step:
    start = NOW - timedelta(seconds=seconds + waited)
    return Step(name, StepStatus.COMPLETED, start, NOW, waited)


def under_way(name: StepName, seconds: float, waited: float = 0.0) -> Step:
    return replace(ended(name, seconds, waited), status=StepStatus.IN_PROGRESS, completed_at=None)


durations = st.fixed_dictionaries(dict.fromkeys(StepName, SECONDS))
runs = st.lists(durations.map(lambda d: [ended(name, s) for name, s in d.items()]), max_size=8)
moments = st.builds(
    lambda done, used: (
        [ended(n, 1) for n in list(StepName)[:done]]
        + [under_way(n, used) for n in list(StepName)[done : done + 1]]
        + [Step(n) for n in list(StepName)[done + 1 :]]
    ),
    st.integers(0, len(StepName)),
    SECONDS,
)


@given(runs, moments)
def test_it_is_null_before_three_runs_and_never_negative(learned, steps):
    eta = eta_seconds(RUNNING, steps, typical_seconds(learned, NOW), NOW)
    assert (eta is None) == (len(learned) < RUNS_NEEDED)
    assert eta is None or eta >= 0


@given(durations)
def test_equal_runs_foretell_themselves(spent):
    typical = typical_seconds([[ended(n, s) for n, s in spent.items()]] * 3, NOW)
    eta = eta_seconds(OperationStatus.PENDING, [Step(n) for n in StepName], typical, NOW)
    assert eta is not None
    assert abs(eta - sum(spent.values())) <= 1.001


@given(runs.filter(lambda r: len(r) >= 3), moments, SECONDS, SECONDS)
def test_it_falls_with_time_and_never_grows(learned, steps, first, then):
    typical = typical_seconds(learned, NOW)
    early = eta_seconds(RUNNING, steps, typical, NOW + timedelta(seconds=first))
    late = eta_seconds(RUNNING, steps, typical, NOW + timedelta(seconds=first + then))
    assert early is not None
    assert late is not None
    assert late <= early


@given(st.permutations([[ended(StepName.BUILD, s)] for s in (1, 2, 3, 400)]))
def test_the_order_of_runs_does_not_matter_and_one_slow_run_not_much(learned):
    typical = typical_seconds(learned, NOW)
    assert typical is not None
    assert typical[StepName.BUILD] == 2.5


@given(SECONDS, SECONDS, SECONDS)
def test_waiting_is_no_machine_time(spent, waited, waits_now):
    assert abs(machine_seconds(ended(StepName.ROLLOUT, spent, waited), NOW) - spent) < 0.01
    waiting = replace(under_way(StepName.ROLLOUT, spent, waited), waiting_since=NOW)
    later = NOW + timedelta(seconds=waits_now)
    assert abs(machine_seconds(waiting, later) - spent) < 0.01
    typical = {StepName.ROLLOUT: 60.0}
    assert eta_seconds(RUNNING, [waiting], typical, later) == eta_seconds(RUNNING, [waiting], typical, NOW)


def test_finished_and_cancelling_operations_have_none():
    typical = dict.fromkeys(StepName, 1.0)
    for status in set(OperationStatus) - {OperationStatus.PENDING, RUNNING}:
        assert eta_seconds(status, [Step(StepName.BUILD)], typical, NOW) is None


def test_a_step_that_is_usually_skipped_is_expected_to_take_no_time():
    skipped = Step(StepName.TEST, StepStatus.SKIPPED, completed_at=NOW)
    typical = typical_seconds([[skipped], [skipped], [ended(StepName.TEST, 60)]], NOW)
    assert eta_seconds(RUNNING, [Step(StepName.TEST)], typical, NOW) == 0
