"""How much each metric compared. Requests alone do not tell: a metric without a bet has judged nothing."""

from typing import Self

from pydantic import BaseModel, ConfigDict

MOST_UNEVEN = 10
"""A request of one side is compared with at most so many of the other: a thousand beside a single one tell little."""


class Compared(BaseModel):
    """Requests of both sides that bets were placed on, together with some of the other side's."""

    model_config = ConfigDict(frozen=True)

    canary: int = 0
    stable: int = 0

    @property
    def least(self) -> int:
        """What there is of either side."""
        return min(self.canary, self.stable)

    def plus(self, canary: int, stable: int) -> Self:
        """After a block of so many requests each."""
        return self.model_copy(
            update={
                "canary": self.canary + min(canary, MOST_UNEVEN * stable),
                "stable": self.stable + min(stable, MOST_UNEVEN * canary),
            }
        )
