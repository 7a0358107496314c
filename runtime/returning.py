"""How many deployed services serve again after a start: saved by the worker, read by the API and the supervisor."""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from domain.stored import known_to
from runtime.files import write_whole

NAME = "services.json"
FRESH_S = 20.0
"""The worker writes every second or so; older words are of one that died, or hangs."""


@dataclass(frozen=True)
class Returning:
    """Counts of environments that have a live release. `coming_back`: more of them are expected to serve shortly."""

    total: int
    serving: int
    coming_back: bool
    at: float

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """What was saved last; None when there is nothing, or nothing readable."""
        try:
            return cls(**known_to(cls, json.loads(path.read_text())))
        except (OSError, ValueError, TypeError):
            return None

    def save(self, path: Path) -> None:
        """Whole or not at all."""
        write_whole(path, json.dumps(asdict(self)), sync=False)

    @property
    def is_under_way(self) -> bool:
        """Whether services come back right now, as far as is known."""
        return self.coming_back and abs(time.time() - self.at) < FRESH_S

    @property
    def words(self) -> str:
        """For people."""
        if self.coming_back:
            return f"{self.total - self.serving} services coming back: {self.serving} of {self.total} serve"
        if self.serving < self.total:
            return f"{self.serving} of {self.total} services serve; the environments of the others say why they do not"
        return f"all {self.total} services serve"
