"""Looks without figures: some are forgiven, and none is ever taken for zeros."""

from domain.canary.judge import unmeasurable, unmeasured
from domain.canary.policy import AnalysisPolicy
from domain.canary.state import JudgeState
from domain.canary.verdict import Verdict
from tests.domain.canary.traffic import START, at

POLICY = AnalysisPolicy(error_limit=2)
FAILED = JudgeState(failed=1, harm=("error rate: worse",))


def test_as_many_as_are_accepted_go_on_and_the_next_one_ends_it():
    state = JudgeState.begin(START)
    finals = []
    for second in range(3):
        judgement, state = unmeasured(POLICY, state, "away", at(second))
        finals.append(judgement.final)
        assert judgement.verdict is Verdict.INCONCLUSIVE
    assert finals == [False, False, True]
    assert judgement.reasons == ("the metrics could not be measured 3 times in a row (2 are accepted): away",)


def test_what_cannot_be_measured_ends_it_at_once():
    judgement, state = unmeasurable(POLICY, JudgeState.begin(START), "no server", at(1))
    assert (judgement.verdict, judgement.final) == (Verdict.INCONCLUSIVE, True)
    assert judgement.reasons == ("the metrics cannot be measured: no server",)
    assert state.unmeasured == judgement.unmeasured == 1


def test_what_has_failed_stays_failed():
    for says in (unmeasured, unmeasurable):
        judgement, _ = says(POLICY, FAILED, "away", at(1))
        assert (judgement.verdict, judgement.final) == (Verdict.FAIL, True)
        assert judgement.reasons == FAILED.harm
