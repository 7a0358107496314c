"""Limits how often a task runs that may become slow."""


class Pace:
    """Runs at an interval, and less often when it is slow, so that most of the time is left for other work.

    Args:
        every_s: minimum seconds between two starts.
        share: maximum part of the time for the task; from 0 to 1.
    """

    def __init__(self, every_s: float, share: float) -> None:
        self._every_s = every_s
        self._share = share
        self._due_at = 0.0

    def is_due(self, clock: float) -> bool:
        """Whether to run it now."""
        return clock >= self._due_at

    def done(self, began: float, ended: float) -> None:
        """It ran, successfully or not, between two moments of the same clock."""
        self._due_at = began + max(self._every_s, (ended - began) / self._share)
