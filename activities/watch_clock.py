"""The time that an analysis has watched: no clock on a wall says it, since those are set forward and back."""

from collections.abc import Callable
from datetime import datetime, timedelta

# Between two looks lie at most a pause for metrics that cannot be read, and the answer; after more than that nobody
# was there to look (the process was frozen, the machine asleep).
MAX_STEP_S = 30.0


class WatchClock:
    """Runs with this process's monotonic clock, from where the attempt before it stood.

    Args:
        begun: the moment to go on from. It only names the beginning: the judge takes differences.
        monotonic: seconds that never go back.
    """

    def __init__(self, begun: datetime, monotonic: Callable[[], float]) -> None:
        self._now = begun
        self._monotonic = monotonic
        self._read = monotonic()

    def now(self) -> datetime:
        """The beginning, and what was watched since."""
        read = self._monotonic()
        step, self._read = read - self._read, read
        if step <= MAX_STEP_S:
            self._now += timedelta(seconds=step)
        return self._now
