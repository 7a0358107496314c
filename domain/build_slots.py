"""Whose build goes next on a worker: slots are dealt in turn between organizations."""

from dataclasses import dataclass, field
from uuid import UUID

# Organizations whose last turn is remembered; whoever comes back after so many others counts as new.
MAX_REMEMBERED = 10_000


def share_of_one(total: int, wanted: int | None = None) -> int:
    """How many of `total` slots one organization may hold: with two or more, one stays free for the others."""
    return max(1, min(total, wanted if wanted is not None else total - 1))


@dataclass
class Deal:
    """The line before the slots and who holds them. It decides only; whoever waits is woken by its caller.

    Attributes:
        total: slots there are.
        share: slots that one organization may hold.
        held: operation -> its organization.
    """

    total: int
    share: int
    held: dict[UUID, str] = field(default_factory=dict)
    _line: dict[str, list[UUID]] = field(default_factory=dict)  # organization -> operations, the oldest first
    _last: dict[str, int] = field(default_factory=dict)  # organization -> its last turn, the longest ago first
    _turns: int = 0

    def join(self, operation: UUID, organization: str) -> None:
        """Stand at the end of the organization's own line."""
        self._line.setdefault(organization, []).append(operation)

    def leave(self, operation: UUID, organization: str) -> None:
        """Wait no more."""
        if operation in self._line.get(organization, ()):
            self._line[organization].remove(operation)
            self._tidy(organization)

    def waiting(self, organization: str) -> int:
        """How many of an organization wait."""
        return len(self._line.get(organization, ()))

    def give_back(self, operation: UUID) -> None:
        """The slot is free, if it was held."""
        self.held.pop(operation, None)

    def next(self) -> UUID | None:
        """Give a free slot to the organization with the fewest; among equals to the one whose turn is longest ago."""
        if len(self.held) >= self.total:
            return None
        counts = self._counts()
        able = [name for name, line in self._line.items() if line and counts.get(name, 0) < self.share]
        if not able:
            return None
        name = min(able, key=lambda each: (counts.get(each, 0), self._last.get(each, 0)))
        operation = self._line[name].pop(0)
        self._tidy(name)
        self._remember(name)
        self.held[operation] = name
        return operation

    def _remember(self, organization: str) -> None:
        self._turns += 1
        self._last.pop(organization, None)
        self._last[organization] = self._turns
        if len(self._last) > MAX_REMEMBERED:
            del self._last[next(iter(self._last))]

    def _counts(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for name in self.held.values():
            counts[name] = counts.get(name, 0) + 1
        return counts

    def _tidy(self, organization: str) -> None:
        if not self._line[organization]:
            del self._line[organization]
