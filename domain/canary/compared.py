"""The number of requests each metric has compared. A metric without a bet has judged nothing, whatever the traffic."""

from typing import Self

from pydantic import BaseModel, ConfigDict

MOST_UNEVEN = 10
"""Maximum ratio of one side's requests to the other's that counts as compared."""


class Compared(BaseModel):
    """Requests of both sides on which bets were placed, together with requests of the other side."""

    model_config = ConfigDict(frozen=True)

    canary: int = 0
    stable: int = 0

    @property
    def least(self) -> int:
        """The smaller of the two sides."""
        return min(self.canary, self.stable)

    def plus(self, canary: int, stable: int) -> Self:
        """With the requests of one more block."""
        return self.model_copy(
            update={
                "canary": self.canary + min(canary, MOST_UNEVEN * stable),
                "stable": self.stable + min(stable, MOST_UNEVEN * canary),
            }
        )
