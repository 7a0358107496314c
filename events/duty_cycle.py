"""How often something is done that may come to take long."""


class Pace:
    """Every so often, and less often when it takes long, so that most of the time is left for other things.

    Args:
        every_s: seconds from the beginning of one time to the next, at least.
        share: of the time, what may be spent on it; from 0 to 1.
    """

    def __init__(self, every_s: float, share: float) -> None:
        self._every_s = every_s
        self._share = share
        self._due_at = 0.0

    def is_due(self, clock: float) -> bool:
        """Whether to do it now."""
        return clock >= self._due_at

    def done(self, began: float, ended: float) -> None:
        """It was done, well or badly, from one moment to another of the same clock."""
        self._due_at = began + max(self._every_s, (ended - began) / self._share)
