"""Adds readings to the judge's state: sums, compares both sides' requests of the same time, and skips gaps."""

from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime

from domain.canary.counts import SideCounts, WindowCounts
from domain.canary.distribution import P95
from domain.canary.error_rate import EFFECTS, log_not_worse, log_worse
from domain.canary.late import Late, after, log_stake
from domain.canary.latency_evidence import NO_BETS, SLOW_LEVELS, can_be_compared, log_slower, thresholds
from domain.canary.one_sample import logs_above
from domain.canary.policy import AnalysisPolicy
from domain.canary.state import JudgeState, SideState
from domain.canary.two_sample import ODDS_RATIOS, Block, log_bet


def observe(
    policy: AnalysisPolicy, state: JudgeState, stable: SideCounts | None, canary: SideCounts, now: datetime
) -> JudgeState:
    """The state after a reading of both sides."""
    canary_side, canary_gap = state.canary.read(canary)
    stable_side, stable_gap = (state.stable, False) if stable is None else state.stable.read(stable)
    began = state.started_at or now
    update = {"canary": canary_side, "stable": stable_side, "started_at": began, "looked_at": now, "unmeasured": 0}
    if canary_gap or stable_gap:
        # Only requests of the same time are compared: a gap on one side is a gap on the other too.
        lost = max(0.0, (now - (state.looked_at or began)).total_seconds())
        update |= {"canary": canary_side.compared(), "stable": stable_side.compared(), "gaps": state.gaps + 1}
        update |= {"lost_seconds": state.lost_seconds + lost}
    else:
        at_s = max(0.0, (now - began).total_seconds())
        late = _counted(policy, state, canary_side.total, stable_side.total, at_s)
        update["late"] = late
        if canary_side.pending.requests and stable_side.pending.requests:
            update |= _compare(policy, state.model_copy(update={"late": late}), canary_side, stable_side, at_s)
    return state.model_copy(update=update)


def _compare(
    policy: AnalysisPolicy, state: JudgeState, canary: SideState, stable: SideState, at_s: float
) -> dict[str, object]:
    """The bets after the pending block of both sides."""
    mine, theirs = canary.pending, stable.pending
    known = state.history.plus(stable.known)
    block = Block(mine.errors, mine.requests, theirs.errors, theirs.requests)
    effect = policy.min_effect / 100
    timed = (mine.timed, theirs.timed) if _tells_latency(policy, mine, theirs, known) else (0, 0)
    worse = log_worse((0.0,) * EFFECTS, block, known, effect)
    slower = log_slower(NO_BETS, mine, theirs, known, policy)
    more, fewer = _gains(_refused(mine, theirs)), _gains(_refused(theirs, mine))
    late, until = state.late, min(1.0, at_s / policy.duration)
    stake = log_stake(late.placed_compared, until)

    def laid(bets: Sequence[float], gains: Sequence[float]) -> tuple[float, ...]:
        return after(bets, stake, gains, policy.design_effect)

    return {
        "worse": _sums(state.worse, worse),
        "not_worse": log_not_worse(state.not_worse, block, known, effect),
        "slower": tuple(_sums(row, gains) for row, gains in zip(state.slower, slower, strict=True)),
        "refused_more": _sums(state.refused_more, more),
        "refused_fewer": _sums(state.refused_fewer, fewer),
        "late": late.model_copy(
            update={
                "worse": laid(late.worse, worse),
                "slower": tuple(laid(row, gains) for row, gains in zip(late.slower, slower, strict=True)),
                "refused_more": laid(late.refused_more, more),
                "refused_fewer": laid(late.refused_fewer, fewer),
                "placed_compared": max(late.placed_compared, until),
            }
        ),
        "compared": state.compared.plus(mine.requests, theirs.requests),
        "compared_timed": state.compared_timed.plus(*timed),
        "canary": canary.compared(),
        "stable": stable.compared(),
    }


def _counted(
    policy: AnalysisPolicy, state: JudgeState, canary: WindowCounts, stable: WindowCounts, at_s: float
) -> Late:
    """The late bets against the policy's limits after the canary's new counts, and a mark now and then."""
    late, before, until = state.late, state.canary.total, min(1.0, at_s / policy.duration)
    stake = log_stake(late.placed_counted, until)
    slow = _above_limit(policy, canary)
    was_slow, was_timed = (_above_limit(policy, before), before.timed) if before.bounds == canary.bounds else (0, 0)
    update: dict[str, object] = {"placed_counted": max(late.placed_counted, until)}
    if policy.max_error_rate is not None:
        requests = canary.requests - before.requests
        gains = logs_above(canary.errors - before.errors, requests, policy.max_error_rate / 100)
        update["errors_above"] = after(late.errors_above, stake, gains, policy.design_effect)
    if policy.max_p95_ms is not None:
        gains = logs_above(slow - was_slow, canary.timed - was_timed, 1 - P95)
        update["p95_above"] = after(late.p95_above, stake, gains, policy.design_effect)
    return late.marked(at_s, policy.duration, canary, stable, slow).model_copy(update=update)


def _above_limit(policy: AnalysisPolicy, canary: WindowCounts) -> int:
    """Canary requests that took longer than the policy's limit, as far as the buckets can tell."""
    if policy.max_p95_ms is None:
        return 0
    index = bisect_left(canary.bounds, policy.max_p95_ms)
    return canary.slower_than(index) if index < len(canary.bounds) else 0


def _tells_latency(policy: AnalysisPolicy, mine: WindowCounts, theirs: WindowCounts, known: WindowCounts) -> bool:
    """Whether a bet on the median can be won: neither it nor the canary's allowance is above all buckets."""
    if not can_be_compared(mine, theirs):
        return False
    told_by = known if known.bounds == theirs.bounds and known.timed >= theirs.timed else theirs
    return thresholds(told_by, SLOW_LEVELS[0], policy) is not None


def _refused(one: WindowCounts, other: WindowCounts) -> Block:
    return Block(one.client_errors, one.requests, other.client_errors, other.requests)


def _gains(block: Block) -> tuple[float, ...]:
    return tuple(log_bet(block, ratio) for ratio in ODDS_RATIOS)


def _sums(bets: Sequence[float], gains: Sequence[float]) -> tuple[float, ...]:
    return tuple(bet + gain for bet, gain in zip(bets, gains, strict=True))
