"""Whether the buckets are fine enough to detect a latency beyond the tolerance."""

from domain.canary.distribution import final_radius
from domain.canary.formatting import number, share
from domain.canary.latency_evidence import allowed_index, allowed_ms
from domain.canary.measurement import Measurement

MAX_UNSEEN = 0.1
"""Part of the requests that may be slower by an amount that the buckets cannot show."""
MAX_STEP = 1.5
"""Maximum ratio of the next bound to the allowance."""


def too_coarse(measurement: Measurement) -> str:
    """Why the buckets are too coarse: more of the canary's requests are above a bound, and the next bound is far away.

    The comparison rounds in the canary's favour, so with a large step it would never detect them.
    """
    canary, stable, policy = measurement.canary, measurement.stable, measurement.policy
    mine, theirs = (side.timed / policy.design_effect for side in (canary, stable))
    certain = final_radius(mine, theirs, policy.alpha)
    for index, bound in enumerate(stable.bounds):
        more = canary.slower_than(index) / canary.timed - stable.slower_than(index) / stable.timed
        at = allowed_index(stable.bounds, index, policy)
        step = None if at is None else stable.bounds[at]
        if more - certain > MAX_UNSEEN and (step is None or step > MAX_STEP * allowed_ms(bound, policy)):
            beyond = "there is no higher bucket" if step is None else f"the next bucket ends at {number(step)} ms"
            ours, others = (share(side.slower_than(index), side.timed) for side in (canary, stable))
            return (
                f"the buckets cannot tell how much slower it is: over {number(bound)} ms took {ours} of the canary's "
                f"requests, {others} of stable's, and {beyond}; finer buckets can"
            )
    return ""
