"""What the judge says about whole analyses."""

import re

import numpy as np
import pytest

from domain.canary.counts import SideCounts, WindowCounts
from domain.canary.judge import judge, unmeasured
from domain.canary.policy import AnalysisPolicy
from domain.canary.state import JudgeState
from domain.canary.verdict import Finding, Judgement, Metric, Verdict
from tests.domain.canary.traffic import ERRORS_ONLY, START, Side, analyse, at

POLICY = AnalysisPolicy(duration=60)
EARLY = {"pass_early": True}
LIMITS = AnalysisPolicy(duration=60, max_error_rate=3, max_p95_ms=250)


def finding(judgement: Judgement, metric: Metric) -> Finding:
    return next(report.finding for report in judgement.metrics if report.metric is metric)


@pytest.mark.parametrize("policy", [POLICY, LIMITS])
def test_identical_sides_pass_with_a_reason_for_each_metric(policy):
    judgement = analyse(policy, Side(20), Side(180))
    assert judgement.verdict is Verdict.PASS
    assert len(judgement.reasons) == len(judgement.metrics) >= 3


def test_with_much_traffic_a_pass_comes_before_the_end():
    judgement = analyse(LIMITS.model_copy(update=EARLY), Side(500), Side(2000))
    assert (judgement.verdict, judgement.early) == (Verdict.PASS, True)
    assert judgement.elapsed_seconds < 20
    assert re.match(r"passed early, after [\d.]+ of 60 s, since pass_early is set", judgement.reasons[0])
    assert "not worse by 0.5 percentage points" in judgement.reasons[1]


def test_unless_it_is_asked_for_the_whole_time_is_watched_however_early_the_evidence_is_in():
    judgement = analyse(LIMITS, Side(500), Side(2000))
    assert (judgement.verdict, judgement.elapsed_seconds, judgement.early) == (Verdict.PASS, 60, False)


def test_more_errors_are_stopped_and_the_metric_is_named_with_numbers():
    judgement = analyse(POLICY, Side(20, error_rate=0.06), Side(180))
    assert judgement.verdict is Verdict.FAIL
    assert judgement.elapsed_seconds < 20
    (reason,) = judgement.reasons
    assert reason.startswith("error rate: canary ")
    assert "the canary fails more often" in reason
    report = judgement.metrics[0]
    assert report.evidence >= report.limit
    assert report.canary.bad < report.canary.requests < report.stable.requests


def test_one_metric_of_several_fails_it():
    judgement = analyse(LIMITS, Side(20, median_ms=180), Side(180))
    assert judgement.verdict is Verdict.FAIL
    assert finding(judgement, Metric.LATENCY) is Finding.HARM
    assert finding(judgement, Metric.ERROR_RATE) is not Finding.HARM


def test_slower_only_at_the_tail_is_stopped():
    judgement = analyse(POLICY, Side(20, spread=0.6), Side(180))
    assert judgement.verdict is Verdict.FAIL
    assert "slower by more than 20 %" in judgement.reasons[0]


@pytest.mark.parametrize(("mine", "theirs"), [(0.1, 0.3), (0.3, 0.1), (0.15, 0.06), (0.06, 0.15)])
def test_another_shape_about_the_same_median_is_not_passed(mine, theirs):
    judgement = analyse(POLICY, Side(40, spread=mine), Side(360, spread=theirs))
    assert judgement.verdict in {Verdict.FAIL, Verdict.INCONCLUSIVE}
    assert "latency" in judgement.reasons[0]


def test_a_faster_release_passes():
    assert analyse(POLICY, Side(40, median_ms=50), Side(360)).verdict is Verdict.PASS


def test_slower_within_the_tolerance_passes():
    assert analyse(POLICY, Side(40, median_ms=104), Side(360)).verdict is Verdict.PASS


def test_no_data_is_inconclusive_and_never_a_pass():
    empty = Side(0)
    judgement = analyse(LIMITS, empty, Side(100))
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert {report.finding for report in judgement.metrics} == {Finding.NO_DATA}
    assert "no requests" in judgement.reasons[0]


def test_too_few_requests_are_inconclusive():
    judgement = analyse(POLICY, Side(1), Side(100))
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert "100 requests of each are needed" in judgement.reasons[0]


def test_a_stable_release_without_traffic_is_inconclusive():
    assert analyse(POLICY, Side(20), Side(0)).verdict is Verdict.INCONCLUSIVE


def test_latency_that_nobody_measures_is_not_passed():
    counts = SideCounts(requests=10_000, errors=10)
    judgement, _ = judge(POLICY, JudgeState.begin(START), counts, counts, at(60))
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert finding(judgement, Metric.ERROR_RATE) is Finding.GOOD


def test_a_first_deployment_is_judged_by_limits_alone():
    assert analyse(LIMITS, Side(20), None).verdict is Verdict.PASS
    failed = analyse(LIMITS, Side(20, error_rate=0.1), None)
    assert failed.verdict is Verdict.FAIL
    assert failed.reasons[0].startswith("error rate limit 3 %")
    assert analyse(LIMITS, Side(20, median_ms=300), None).reasons[0].startswith("p95 limit 250 ms")


def test_a_first_deployment_without_limits_has_nothing_to_be_judged_by():
    judgement = analyse(POLICY, Side(20), None)
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert "max_error_rate" in judgement.reasons[0]


def test_a_limit_needs_evidence_not_one_noisy_sample():
    policy = AnalysisPolicy(compare=(), max_error_rate=3)
    first, state = judge(policy, JudgeState.begin(START), None, SideCounts(requests=10, errors=1), at(1))
    assert (first.verdict, first.final) == (Verdict.INCONCLUSIVE, False)
    then, _ = judge(policy, state, None, SideCounts(requests=60, errors=15), at(2))
    assert then.verdict is Verdict.FAIL


def test_above_a_limit_without_proof_is_not_passed_at_the_end():
    policy = AnalysisPolicy(compare=(), max_error_rate=3, duration=10)
    judgement, _ = judge(policy, JudgeState.begin(START), None, SideCounts(requests=200, errors=8), at(10))
    assert (judgement.verdict, judgement.final) == (Verdict.INCONCLUSIVE, True)
    assert "no proof" in judgement.reasons[0]


def test_the_reason_says_when_the_stable_release_breaks_the_limit_too():
    policy = AnalysisPolicy(compare=ERRORS_ONLY, max_error_rate=3)
    judgement = analyse(policy, Side(100, error_rate=0.1), Side(900, error_rate=0.1))
    assert judgement.verdict is Verdict.FAIL
    assert "so is the stable release" in judgement.reasons[0]


def test_a_limit_above_all_buckets_cannot_be_judged():
    judgement = analyse(AnalysisPolicy(duration=5, max_p95_ms=1e6), Side(100), Side(100))
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert "no latency bucket as high" in " ".join(judgement.reasons)


def test_different_buckets_on_the_two_sides_are_said():
    mine = SideCounts(requests=500, bounds=(10, 100), at_or_below=(100, 400))
    theirs = SideCounts(requests=500, bounds=(20, 200), at_or_below=(100, 400))
    judgement, _ = judge(POLICY, JudgeState.begin(START), theirs, mine, at(60))
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert "different latency buckets" in " ".join(judgement.reasons)


def test_a_failure_stays_one_whatever_comes_after():
    policy = AnalysisPolicy(compare=ERRORS_ONLY)
    good, bad = SideCounts(requests=100), SideCounts(requests=100, errors=50)
    first, state = judge(policy, JudgeState.begin(START), good, bad, at(1))
    assert first.verdict is Verdict.FAIL
    later = SideCounts(requests=100_000, errors=50)
    then, state = judge(policy, state, SideCounts(requests=100_000), later, at(2))
    assert (then.verdict, then.reasons) == (Verdict.FAIL, first.reasons)
    away, _ = unmeasured(policy, state, "the router is away", at(3))
    assert away.verdict is Verdict.FAIL


def test_failed_looks_are_counted_together_where_the_policy_forgives_some():
    policy = AnalysisPolicy(compare=ERRORS_ONLY, failure_limit=2)
    state = JudgeState.begin(START)
    verdicts = []
    for measurement in range(1, 4):
        counts = SideCounts(requests=100 * measurement, errors=50 * measurement)
        judgement, state = judge(policy, state, SideCounts(requests=100 * measurement), counts, at(measurement))
        verdicts.append(judgement.verdict)
    assert verdicts == [Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE, Verdict.FAIL]


def test_looks_that_cannot_measure_are_counted_in_a_row():
    state = JudgeState.begin(START)
    for second in range(1, 5):
        judgement, state = unmeasured(POLICY, state, "connection refused", at(second))
        assert not judgement.final
    measured, fresh = judge(POLICY, state, None, SideCounts(requests=5), at(5))
    assert measured.unmeasured == 0
    assert unmeasured(POLICY, fresh, "connection refused", at(6))[0].final is False
    judgement, _ = unmeasured(POLICY, state, "connection refused", at(6))
    assert (judgement.verdict, judgement.final) == (Verdict.INCONCLUSIVE, True)
    assert "5 times in a row" in judgement.reasons[0]


def test_readings_given_at_the_beginning_are_where_counting_starts():
    before = SideCounts(requests=1_000_000, errors=500_000)
    state = JudgeState.begin(START, stable=before, canary=before)
    after = SideCounts(requests=1_000_010, errors=500_000)
    _, state = judge(POLICY, state, after, after, at(1))
    assert (state.canary.total.requests, state.canary.total.errors) == (10, 0)


def test_a_history_of_the_stable_release_sharpens_the_first_look():
    random = np.random.default_rng(1)
    stable, canary = Side(1000), Side(16, median_ms=170)
    mine, theirs = canary.serve(random), stable.serve(random)
    known = WindowCounts(requests=1000, errors=10, timed=1000, bounds=theirs.bounds, at_or_below=theirs.at_or_below)
    for history, verdict in ((None, Verdict.INCONCLUSIVE), (known, Verdict.FAIL)):
        state = JudgeState.begin(START, history=history)
        assert judge(POLICY, state, theirs, mine, at(1))[0].verdict is verdict


def test_limits_and_limits_of_the_analysis_meet_in_alpha():
    judgement = analyse(LIMITS, Side(20), Side(180))
    limits = [report.limit for report in judgement.metrics if report.limit is not None]
    assert sum(1 / limit for limit in limits) == pytest.approx(LIMITS.alpha)
