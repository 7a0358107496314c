"""Takes readings into the judge's state: adds up, compares what both sides have, steps over gaps."""

from collections.abc import Sequence
from datetime import datetime

from domain.canary.counts import SideCounts, WindowCounts
from domain.canary.error_rate import log_not_worse, log_worse
from domain.canary.latency_bets import SLOW_LEVELS, can_be_compared, log_slower, thresholds
from domain.canary.policy import AnalysisPolicy
from domain.canary.state import JudgeState, SideState
from domain.canary.two_rates import ODDS_RATIOS, Block, log_bet


def observe(
    policy: AnalysisPolicy, state: JudgeState, stable: SideCounts | None, canary: SideCounts, now: datetime
) -> JudgeState:
    """The state after a reading of both sides."""
    canary_side, canary_gap = state.canary.read(canary)
    stable_side, stable_gap = (state.stable, False) if stable is None else state.stable.read(stable)
    began = state.started_at or now
    update = {"canary": canary_side, "stable": stable_side, "started_at": began, "looked_at": now, "unmeasured": 0}
    if canary_gap or stable_gap:
        # Only requests of the same time are compared: a gap on one side is one on the other.
        lost = max(0.0, (now - (state.looked_at or began)).total_seconds())
        update |= {"canary": canary_side.compared(), "stable": stable_side.compared(), "gaps": state.gaps + 1}
        update |= {"lost_seconds": state.lost_seconds + lost}
    elif canary_side.pending.requests and stable_side.pending.requests:
        update |= _compare(policy, state, canary_side, stable_side)
    return state.model_copy(update=update)


def _compare(policy: AnalysisPolicy, state: JudgeState, canary: SideState, stable: SideState) -> dict[str, object]:
    """The bets after the block that is pending on both sides."""
    mine, theirs = canary.pending, stable.pending
    known = state.history.plus(stable.known)
    block = Block(mine.errors, mine.requests, theirs.errors, theirs.requests)
    effect = policy.min_effect / 100
    timed = (mine.timed, theirs.timed) if _tells_latency(policy, mine, theirs, known) else (0, 0)
    return {
        "worse": log_worse(state.worse, block, known, effect),
        "not_worse": log_not_worse(state.not_worse, block, known, effect),
        "slower": log_slower(state.slower, mine, theirs, known, policy),
        "refused_more": _bets(state.refused_more, _refused(mine, theirs)),
        "refused_fewer": _bets(state.refused_fewer, _refused(theirs, mine)),
        "compared": state.compared.plus(mine.requests, theirs.requests),
        "compared_timed": state.compared_timed.plus(*timed),
        "canary": canary.compared(),
        "stable": stable.compared(),
    }


def _tells_latency(policy: AnalysisPolicy, mine: WindowCounts, theirs: WindowCounts, known: WindowCounts) -> bool:
    """Whether a bet on the median can be won: neither it nor what the canary may need lies above all buckets."""
    if not can_be_compared(mine, theirs):
        return False
    told_by = known if known.bounds == theirs.bounds and known.timed >= theirs.timed else theirs
    return thresholds(told_by, SLOW_LEVELS[0], policy) is not None


def _refused(one: WindowCounts, other: WindowCounts) -> Block:
    return Block(one.client_errors, one.requests, other.client_errors, other.requests)


def _bets(bets: Sequence[float], block: Block) -> tuple[float, ...]:
    return tuple(log + log_bet(block, ratio) for log, ratio in zip(bets, ODDS_RATIOS, strict=True))
