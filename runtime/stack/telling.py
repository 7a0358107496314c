"""Tells people who look at the terminal which services are still coming back."""

import time
from collections.abc import Callable
from pathlib import Path

from runtime.returning import Returning

_EVERY_S = 5.0
_POLL_S = 0.1


class ReturnTeller:
    """Says how many services serve, now and then, until all do.

    Args:
        path: file that the worker tells it in.
        say: gets one line for people at a time.
    """

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        self._path = path
        self._say = say
        self._last: Returning | None = None
        self._next_at = 0.0

    def first(self, wait_s: float) -> str:
        """What follows "ready": nothing when all serve. Waits so long for the worker's first words."""
        deadline = time.monotonic() + wait_s
        while (told := Returning.load(self._path)) is None and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        self._last, self._next_at = told, time.monotonic() + _EVERY_S
        return f"; {told.words}" if told and told.total else ""

    def tell(self) -> None:
        """Called several times a second: says a line every few seconds while they come back, and one at the end."""
        if self._last is None or not self._last.coming_back or time.monotonic() < self._next_at:
            return
        self._next_at = time.monotonic() + _EVERY_S
        told = Returning.load(self._path)
        if told is not None and told != self._last:
            self._last = told
            self._say(f"{'services':<10} {told.words}")
