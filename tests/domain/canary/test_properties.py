"""What holds for the judge on any counters."""

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.canary.counts import SideCounts
from domain.canary.judge import judge
from domain.canary.policy import AnalysisPolicy
from domain.canary.state import JudgeState
from domain.canary.verdict import Verdict
from tests.domain.canary.traffic import START, at
from tests.support.deep import by_depth

BOUNDS = (10.0, 50.0, 100.0, 500.0)
RANK = {Verdict.PASS: 0, Verdict.INCONCLUSIVE: 1, Verdict.FAIL: 2}
policies = st.builds(
    AnalysisPolicy,
    duration=st.just(5),
    min_requests=st.integers(1, 50),
    alpha=st.sampled_from([0.001, 0.01, 0.05]),
    max_error_rate=st.none() | st.floats(0.1, 50),
    max_p95_ms=st.none() | st.floats(1, 600),
    compare=st.sampled_from([(), ("errors",), ("latency",), ("errors", "latency")]),
    design_effect=st.floats(1, 20),
    pass_early=st.booleans(),
)


@st.composite
def readings(draw: st.DrawFn) -> SideCounts:
    """Any counters at all: errors above requests, counters that fall, other epochs and buckets."""
    below = tuple(sorted(draw(st.lists(st.integers(0, 2000), min_size=4, max_size=4))))
    bounds = draw(st.sampled_from([BOUNDS, BOUNDS, BOUNDS, (1.0, 2.0, 3.0, 4.0), ()]))
    return SideCounts(
        epoch=draw(st.sampled_from(["", "", "", "2"])),
        requests=draw(st.integers(0, 2000)),
        errors=draw(st.integers(0, 2000)),
        bounds=bounds,
        at_or_below=below if bounds else (),
        timed=draw(st.none() | st.integers(0, 2000)),
        samples=tuple(draw(st.lists(st.floats(0, 1e5), max_size=3))),
    )


blocks = st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(0, 400), st.integers(0, 40))


@given(policies, st.lists(st.tuples(st.none() | readings(), readings()), min_size=1, max_size=8))
@settings(max_examples=by_depth(short=25, long=60), deadline=None)
def test_any_counters_are_answered_with_reasons_and_nothing_negative(policy, looks):
    state = JudgeState.begin(START)
    for second, (stable, canary) in enumerate(looks, start=1):
        judgement, state = judge(policy, state, stable, canary, at(second))
        assert all(judgement.reasons)
        for side in (state.canary, state.stable):
            for counts in (side.total, side.pending, side.known):
                below = counts.at_or_below
                assert min(counts.requests, counts.errors, counts.timed, *below, 0) == 0
                assert counts.errors <= counts.requests
                assert all(count <= counts.timed for count in below)
        assert JudgeState.model_validate_json(state.model_dump_json()) == state


def carry_out(policy: AnalysisPolicy, looks: list[tuple[int, int, int, int]]) -> tuple[Verdict, int]:
    """The verdict that ends it and when; each look adds (requests, errors) to canary and stable."""
    state, counts = JudgeState.begin(START), [0, 0, 0, 0]
    for second, (requests, errors, theirs, failed) in enumerate(looks, start=1):
        new = (requests, min(errors, requests), theirs, min(failed, theirs))
        counts = [a + b for a, b in zip(counts, new, strict=True)]
        stable = SideCounts(requests=counts[2], errors=counts[3])
        judgement, state = judge(policy, state, stable, SideCounts(requests=counts[0], errors=counts[1]), at(second))
        if judgement.final:
            return judgement.verdict, second
    return Verdict.INCONCLUSIVE, len(looks)


@given(policies, st.lists(blocks, min_size=1, max_size=6), st.integers(0, 5), st.integers(1, 30))
@settings(max_examples=by_depth(short=25, long=80), deadline=None)
def test_more_errors_never_make_it_better(policy, looks, where, more):
    policy = policy.model_copy(update={"compare": ("errors",), "max_p95_ms": None, "pass_early": False})
    where %= len(looks)
    requests, errors, theirs, failed = looks[where]
    worse = [*looks]
    worse[where] = (requests, min(errors, requests) + more, theirs, failed)
    before, after = carry_out(policy, looks), carry_out(policy, worse)
    assert RANK[after[0]] >= RANK[before[0]]
    if before[0] is Verdict.FAIL:
        assert after[1] <= before[1], "and it is stopped no later"


@given(policies, st.lists(blocks, min_size=1, max_size=6), st.integers(1, 30))
@settings(max_examples=by_depth(short=20, long=50), deadline=None)
def test_a_failure_is_never_turned_into_an_early_pass_by_more_errors(policy, looks, more):
    policy = policy.model_copy(update={"compare": ("errors",), "max_p95_ms": None})
    if carry_out(policy, looks)[0] is Verdict.FAIL:
        first, *rest = looks
        worse = (first[0], min(first[1], first[0]) + more, *first[2:])
        assert carry_out(policy, [worse, *rest])[0] is Verdict.FAIL


@given(st.lists(blocks, min_size=1, max_size=6), st.lists(st.booleans(), min_size=6, max_size=6))
@settings(max_examples=by_depth(short=20, long=50), deadline=None)
def test_restarts_of_a_side_lose_looks_and_nothing_else(looks, restarts):
    policy = AnalysisPolicy(duration=5)
    state, canary, epoch = JudgeState.begin(START), [0, 0], 0
    for second, ((requests, errors, _, _), restart) in enumerate(zip(looks, restarts, strict=False), start=1):
        if restart:
            canary, epoch = [0, 0], epoch + 1
        canary = [canary[0] + requests, canary[1] + min(errors, requests)]
        before = state.canary.total
        mine = SideCounts(epoch=str(epoch), requests=canary[0], errors=canary[1])
        judgement, state = judge(policy, state, None, mine, at(second))
        gained = state.canary.total.requests - before.requests
        assert gained == (0 if restart and second > 1 else requests)
        assert judgement.gaps == sum(restarts[1:second])
