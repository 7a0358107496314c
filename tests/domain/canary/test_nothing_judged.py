"""A metric that could place no bet has judged nothing: it is never a pass, and where it can be it is judged at once."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.canary.counts import SideCounts
from domain.canary.judge import judge
from domain.canary.policy import AnalysisPolicy
from domain.canary.state import JudgeState
from domain.canary.verdict import Finding, Judgement, Metric, Verdict
from tests.domain.canary.traffic import START, at
from tests.support.deep import by_depth

BOUNDS = tuple(round(1.1**k, 3) for k in range(1, 100))
COARSE = (5.0, 10.0, 25.0, 50.0, 100.0, 250.0)
POLICY = AnalysisPolicy(duration=10)


def took(
    *groups: tuple[int, float], bounds: tuple[float, ...] = BOUNDS, errors: int = 0, epoch: str = ""
) -> SideCounts:
    """A reading with so many requests of so many ms each."""
    below = tuple(sum(count for count, ms in groups if ms <= bound) for bound in bounds)
    requests = sum(count for count, _ in groups)
    return SideCounts(epoch=epoch, requests=requests, errors=errors, bounds=bounds, at_or_below=below)


def carried_out(*looks: tuple[SideCounts, SideCounts], policy: AnalysisPolicy = POLICY) -> Judgement:
    """The judgement of the last of some looks, (stable, canary) each, which are spread over the whole time."""
    state = JudgeState.begin(START)
    for number, (stable, canary) in enumerate(looks, start=1):
        judgement, state = judge(policy, state, stable, canary, at(policy.duration * number / len(looks)))
        if judgement.final:
            break
    assert judgement.final
    return judgement


def finding(judgement: Judgement, metric: Metric) -> Finding:
    return next(report.finding for report in judgement.metrics if report.metric is metric)


def reason(judgement: Judgement, metric: Metric) -> str:
    return next(report.reason for report in judgement.metrics if report.metric is metric)


NOTHING = took()
FAST, SLOW = took((200, 1)), took((200, 100))


@pytest.mark.parametrize(
    "looks",
    [
        [(FAST, SLOW)],
        [(took((100, 1)), took((100, 100))), (FAST, SLOW)],
        [(NOTHING, NOTHING), (NOTHING, NOTHING), (FAST, SLOW)],
        [(NOTHING, took((50, 100))), (NOTHING, took((150, 100))), (FAST, SLOW)],
        [(FAST, NOTHING), (FAST, SLOW)],
        [(FAST, SLOW), (FAST, SLOW), (FAST, SLOW)],
        [(took((1, 900)), took((1, 100))), (took((1, 900), (200, 1)), SLOW)],
    ],
    ids=[
        "one look",
        "two looks",
        "all in the last",
        "stable late",
        "canary late",
        "all in the first",
        "a stray one first",
    ],
)
def test_a_hundred_times_slower_fails_in_whatever_looks_the_requests_fall(looks):
    judgement = carried_out(*looks)
    assert judgement.verdict is Verdict.FAIL
    assert judgement.reasons == (reason(judgement, Metric.LATENCY),)
    assert "of the canary's requests 100 % (200 of 200) took over" in judgement.reasons[0] or len(looks) == 2


def test_the_same_in_one_look_passes():
    judgement = carried_out((took((150, 1), (50, 40)), took((148, 1), (52, 40))))
    assert judgement.verdict is Verdict.PASS


def test_slower_only_at_the_tail_fails_in_one_look_too():
    assert carried_out((took((1000, 20)), took((850, 20), (150, 200)))).verdict is Verdict.FAIL


def test_more_errors_fail_in_one_look():
    judgement = carried_out((took((200, 1)), took((200, 1), errors=40)))
    assert judgement.verdict is Verdict.FAIL
    assert judgement.reasons[0].startswith("error rate: canary 20 % (40 of 200)")


@pytest.mark.parametrize("metric", [Metric.ERROR_RATE, Metric.LATENCY])
def test_sides_that_never_had_requests_at_the_same_time_are_not_compared(metric):
    """A gap between the two: 200 requests of each were counted, but none beside the other's."""
    stable_first, canary_then = took((200, 1)), took((200, 1))
    again = took(epoch="2")
    judgement = carried_out(
        (stable_first, NOTHING),
        (again, NOTHING),
        (again, canary_then),
        (again, canary_then),
        (again, canary_then),
    )
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert finding(judgement, metric) is Finding.NO_DATA
    assert "could be compared with the other side's of the same time" in reason(judgement, metric)


def test_a_canary_that_fails_while_stable_has_no_requests_is_held():
    """What was compared was fine: the ten thousand that failed met no request of the stable release."""
    judgement = carried_out((took((200, 1)), took((200, 1))), (took((200, 1)), took((10_200, 1), errors=5_000)))
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert "taken together the numbers are too bad to pass on" in reason(judgement, Metric.ERROR_RATE)


def test_a_thousand_beside_one_are_not_a_thousand_comparisons():
    judgement = carried_out(
        (took((1, 1)), took((1000, 1))), (took((1, 1), (500, 1)), took((1001, 1))), policy=AnalysisPolicy(duration=10)
    )
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert "only 11 requests could be compared" in reason(judgement, Metric.ERROR_RATE)


def test_a_stable_release_above_all_buckets_cannot_be_compared():
    slow = took((300, 900), bounds=COARSE)
    judgement = carried_out((slow, took((300, 9000), bounds=COARSE)))
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert "lie above the highest bucket (250 ms)" in reason(judgement, Metric.LATENCY)


def test_a_tail_above_all_buckets_cannot_be_compared():
    slow = took((800, 20), (200, 400), bounds=COARSE)
    judgement = carried_out((slow, took((800, 20), (200, 9000), bounds=COARSE)))
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert "stable's p90" in reason(judgement, Metric.LATENCY)


def test_a_baseline_all_in_one_bucket_and_a_canary_in_the_next_cannot_be_judged():
    judgement = carried_out((took((300, 20), bounds=COARSE), took((300, 49), bounds=COARSE)))
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert "the buckets cannot tell how much slower it is: over 25 ms took 100 %" in reason(judgement, Metric.LATENCY)
    assert carried_out((took((300, 20), bounds=COARSE), took((300, 90), bounds=COARSE))).verdict is Verdict.FAIL
    assert carried_out((took((300, 20), bounds=COARSE), took((300, 21), bounds=COARSE))).verdict is Verdict.PASS


@pytest.mark.parametrize("bounds", [(), (1.0,)])
def test_buckets_that_allow_no_comparison_are_never_a_pass_however_many_requests_there_are(bounds):
    side = took((1_000_000, 0.5), (1_000_000, 7), bounds=bounds)
    for policy in (POLICY, POLICY.model_copy(update={"pass_early": True})):
        assert carried_out((side, side), policy=policy).verdict is Verdict.INCONCLUSIVE


def test_bounds_that_change_leave_only_what_came_after_them():
    early = took((500, 1))
    judgement = carried_out((early, early), (took((500, 1), bounds=COARSE),) * 2, (took((550, 1), bounds=COARSE),) * 2)
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert finding(judgement, Metric.LATENCY) is Finding.NO_DATA


def test_an_analysis_of_which_most_was_lost_is_not_passed():
    """Counters that began anew when a worker was away for most of the time."""
    state = JudgeState.begin(START)
    _, state = judge(POLICY, state, took((500, 1)), took((500, 1)), at(2))
    lost, state = judge(POLICY, state, took((9, 1), epoch="2"), took((9, 1), epoch="2"), at(9))
    assert lost.gaps == 1
    judgement, _ = judge(POLICY, state, took((20, 1), epoch="2"), took((20, 1), epoch="2"), at(10))
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert judgement.reasons[-1] == "counters began anew once, so that nothing is known of 7 s of the 10 s"


def test_a_state_of_an_older_release_counts_as_compared():
    _, state = judge(POLICY, JudgeState.begin(START), took((500, 1)), took((500, 1)), at(5))
    stored = state.model_dump(mode="json", exclude={"compared", "compared_timed", "looked_at", "lost_seconds"})
    old = JudgeState.model_validate(stored)
    assert (old.compared, old.compared_timed) == (state.compared, state.compared_timed)
    assert judge(POLICY, old, took((500, 1)), took((500, 1)), at(10))[0].verdict is Verdict.PASS


blocks = st.lists(st.tuples(*(st.integers(0, 150) for _ in range(4))), min_size=1, max_size=5)


@given(blocks, st.sets(st.integers(1, 4)), st.sampled_from([BOUNDS, COARSE]))
@settings(max_examples=by_depth(short=25, long=150), deadline=None)
def test_nothing_passes_that_was_not_compared(looks, restarts, bounds):
    """Whatever the looks bring: a pass says that enough of both sides met, and that no total speaks against it."""
    state, epoch = JudgeState.begin(START), 0
    stable, canary = [0, 0], [0, 0]
    policy = POLICY.model_copy(update={"min_requests": 50, "duration": len(looks)})
    met = 0
    for second, (fast, slow, quick, late) in enumerate(looks, start=1):
        if second in restarts:
            epoch, stable, canary = epoch + 1, [0, 0], [0, 0]
        stable, canary = [stable[0] + fast, stable[1] + slow], [canary[0] + quick, canary[1] + late]
        sides = [took((side[0], 3), (side[1], 80), bounds=bounds, epoch=str(epoch)) for side in (stable, canary)]
        judgement, state = judge(policy, state, *sides, at(second))
        met = min(state.canary.total.requests, state.stable.total.requests)
        if judgement.final:
            break
    if judgement.verdict is Verdict.PASS:
        assert met >= 50
        assert min(state.compared.least, state.compared_timed.least) >= 50
        assert state.lost_seconds <= policy.duration / 2


@given(st.integers(1, 4), st.integers(30, 200), st.integers(30, 200), st.data())
@settings(max_examples=by_depth(short=25, long=60), deadline=None)
def test_a_hundred_times_slower_is_never_passed_however_the_looks_cut_it(looks, mine, theirs, data):
    cut = st.lists(st.integers(0, 100), min_size=looks, max_size=looks)
    parts = {side: sorted(data.draw(cut, label=side)) for side in ("canary", "stable")}
    readings = [
        (took((theirs * b // 100, 1)), took((mine * a // 100, 100)))
        for a, b in zip(parts["canary"], parts["stable"], strict=True)
    ]
    judgement = carried_out(*readings, (took((theirs, 1)), took((mine, 100))), policy=AnalysisPolicy(duration=10))
    assert judgement.verdict is not Verdict.PASS
