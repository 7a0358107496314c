"""Messages to Temporal that the API never accepted are refused; each makes a log line and an audit entry.

Validators and activities note it in memory, since neither may wait for a database; `reconcilers/refusals.py` writes it
down.
"""

from collections import Counter, deque
from dataclasses import dataclass
from typing import Final

KEPT: Final = 1000


@dataclass(frozen=True)
class Refusal:
    """One attempt. `actor` is who it said it was of."""

    workflow_id: str
    asked: str
    actor: str
    why: str


class Refusals:
    """Refusals not yet in the database, in a bounded buffer that drops the oldest. Thread-safe."""

    def __init__(self) -> None:
        self._noted: deque[Refusal] = deque(maxlen=KEPT)

    def add(self, refusal: Refusal) -> None:
        """Note one."""
        self._noted.append(refusal)

    def take(self) -> Counter[Refusal]:
        """All of them, each with how often it was tried."""
        taken: Counter[Refusal] = Counter()
        while self._noted:
            taken[self._noted.popleft()] += 1
        return taken
