"""The progress of an operation in percent, from its finished steps; it never falls."""

from collections.abc import Mapping

from domain.lifecycle import StepName, StepStatus

# The weight of each step, from its usual share of the time. Steps that an operation does not have do not count.
STEP_WEIGHTS: Mapping[StepName, int] = {
    StepName.SOURCE: 8,
    StepName.BUILD: 22,
    StepName.TEST: 18,
    StepName.SCAN: 2,
    StepName.PACKAGE: 6,
    StepName.ATTEST: 2,
    StepName.RECORD: 2,
    StepName.ROLLOUT: 40,
}
ENDED_STEPS = frozenset({StepStatus.COMPLETED, StepStatus.SKIPPED})


def percent_done(steps: Mapping[StepName, StepStatus], *, fraction: float, before: int) -> int:
    """The progress of an operation in percent.

    Args:
        steps: every step of the operation and its status.
        fraction: finished part of the current step, 0 to 1.
        before: the last reported percentage; the result is never below it, and 100 only at the end.
    """
    total = sum(STEP_WEIGHTS[name] for name in steps)
    done = 0.0
    for name, status in steps.items():
        if status in ENDED_STEPS:
            done += STEP_WEIGHTS[name]
        elif status is StepStatus.IN_PROGRESS:
            done += STEP_WEIGHTS[name] * min(1.0, max(0.0, fraction))
    return max(before, min(99, int(100 * done / total)))
