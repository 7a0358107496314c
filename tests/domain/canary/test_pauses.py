"""An analysis that people hold in the middle: neither its time nor its requests are part of it."""

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from domain.canary.counts import SideCounts
from domain.canary.judge import judge
from domain.canary.policy import AnalysisPolicy
from domain.canary.state import JudgeState
from domain.canary.verdict import Verdict
from tests.domain.canary.traffic import START

POLICY = AnalysisPolicy(duration=60, compare=["errors"], pass_early=False)


def counts(requests: int, errors: int = 0) -> SideCounts:
    return SideCounts(epoch="1", requests=requests, errors=errors)


def at(second: float) -> datetime:
    return START + timedelta(seconds=second)


def begun() -> JudgeState:
    state = JudgeState.begin(at(0), stable=counts(0), canary=counts(0))
    return judge(POLICY, state, counts(400), counts(100), at(30))[1]


def test_what_happens_during_a_pause_is_not_judged() -> None:
    state = begun().resumed(100, stable=counts(4000), canary=counts(1000, errors=900))
    judgement, state = judge(POLICY, state, counts(4000), counts(1000, errors=900), at(130))
    assert judgement.elapsed_seconds == 30
    assert judgement.failed == 0
    judgement, _ = judge(POLICY, state, counts(4400), counts(1100, errors=900), at(160))
    assert (judgement.final, judgement.verdict, judgement.elapsed_seconds) == (True, Verdict.PASS, 60)


def test_a_pause_is_reported_once_however_often_the_analysis_is_tried_again() -> None:
    once = begun().resumed(100, stable=counts(4000), canary=counts(1000))
    assert once.resumed(100, stable=counts(9000), canary=counts(9000)) == once
    assert once.resumed(0, stable=counts(9000), canary=counts(9000)) == once
    assert once.resumed(140, stable=counts(9000), canary=counts(9000)).started_at == at(140)


def test_a_pause_before_the_first_look_moves_nothing() -> None:
    state = JudgeState().resumed(100, stable=None, canary=counts(5))
    assert (state.started_at, state.held_s) == (None, 100)


@given(st.lists(st.floats(0, 10_000), max_size=5))
def test_pauses_never_shorten_the_watch(pauses: list[float]) -> None:
    """However often it is held: what counts as watched is what was watched."""
    state, held, watched = JudgeState.begin(at(0), canary=counts(0)), 0.0, 0.0
    for pause in pauses:
        watched += 5
        held += pause
        state = state.resumed(held, stable=None, canary=counts(0))
    judgement, _ = judge(POLICY, state, None, counts(0), at(watched + held))
    assert abs(judgement.elapsed_seconds - watched) < 0.001  # microseconds are rounded
