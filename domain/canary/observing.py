"""Takes readings into the judge's state: adds up, compares what both sides have, steps over gaps."""

from datetime import datetime

from domain.canary.counts import SideCounts
from domain.canary.error_rate import log_not_worse, log_worse
from domain.canary.latency_bets import log_slower
from domain.canary.policy import AnalysisPolicy
from domain.canary.state import JudgeState, SideState
from domain.canary.two_rates import Block


def observe(
    policy: AnalysisPolicy, state: JudgeState, stable: SideCounts | None, canary: SideCounts, now: datetime
) -> JudgeState:
    """The state after a reading of both sides."""
    canary_side, canary_gap = state.canary.read(canary)
    stable_side, stable_gap = (state.stable, False) if stable is None else state.stable.read(stable)
    update = {"canary": canary_side, "stable": stable_side, "started_at": state.started_at or now, "unmeasured": 0}
    if canary_gap or stable_gap:
        # Only requests of the same time are compared: a gap on one side is one on the other.
        update |= {"canary": canary_side.compared(), "stable": stable_side.compared(), "gaps": state.gaps + 1}
    elif canary_side.pending.requests and stable_side.pending.requests:
        update |= _compare(policy, state, canary_side, stable_side)
    return state.model_copy(update=update)


def _compare(policy: AnalysisPolicy, state: JudgeState, canary: SideState, stable: SideState) -> dict[str, object]:
    """The bets after the block that is pending on both sides."""
    mine, theirs = canary.pending, stable.pending
    known = state.history.plus(stable.known)
    block = Block(mine.errors, mine.requests, theirs.errors, theirs.requests)
    effect = policy.min_effect / 100
    return {
        "worse": log_worse(state.worse, block, known, effect),
        "not_worse": log_not_worse(state.not_worse, block, known, effect),
        "slower": log_slower(state.slower, mine, theirs, known, policy),
        "canary": canary.compared(),
        "stable": stable.compared(),
    }
