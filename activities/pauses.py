"""Growing pauses between attempts at things that do not stay as they should."""

import time
from collections.abc import Callable, Collection

FIRST_S = 4.0
LONGEST_S = 300.0


class Pauses:
    """Backoff by name; the first attempt is immediate. Kept in memory, so a restart also tries at once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waits: dict[str, tuple[float, float]] = {}  # the last pause, and when it is over

    def is_over(self, name: str) -> bool:
        """Whether an attempt may be made."""
        return name not in self._waits or self._clock() >= self._waits[name][1]

    def begin(self, name: str) -> None:
        """An attempt is made now."""
        last_s = self._waits[name][0] if name in self._waits else 0.0
        pause_s = min(max(FIRST_S, 2 * last_s), LONGEST_S)
        self._waits[name] = (pause_s, self._clock() + pause_s)

    def forget(self, name: str) -> None:
        """It stays."""
        self._waits.pop(name, None)

    def keep(self, names: Collection[str]) -> None:
        """Forget all others."""
        self._waits = {name: wait for name, wait in self._waits.items() if name in names}
