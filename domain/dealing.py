"""Fair scheduling of a limited number of slots: round-robin between owners (organizations)."""

import heapq
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

# Number of owners whose last turn is remembered; beyond it, an owner counts as new.
MAX_REMEMBERED = 10_000

# Stale heap entries that are kept, in addition to as many as there are current ones.
_MOST_PAST = 64

K = TypeVar("K", bound=Hashable)
O = TypeVar("O", bound=Hashable)  # noqa: E741 - an owner


def share_of_one(total: int, wanted: int | None = None) -> int:
    """How many of `total` slots one owner may hold: with two or more, one stays free for the others."""
    return max(1, min(total, wanted if wanted is not None else total - 1))


@dataclass
class Deal(Generic[K, O]):
    """The queue for the slots and their holders. It only decides; the caller wakes the waiting ones.

    Each decision takes O(log n) in the number of waiting owners, for any number of entries per owner.

    Attributes:
        total: number of slots.
        share: slots that one owner may hold.
        one_each: an owner without any slot gets one beyond the total, so that long holders block nobody.
        held: holder of a slot -> its owner.
    """

    total: int
    share: int
    one_each: bool = False
    held: dict[K, O] = field(default_factory=dict)
    _line: dict[O, dict[K, None]] = field(default_factory=dict)  # oldest first
    _counts: dict[O, int] = field(default_factory=dict)  # slots held
    _last: dict[O, int] = field(default_factory=dict)  # last turns, the oldest first
    _turns: int = 0
    # Owners that may get a slot: (held, last turn, time of entry, owner). Stale entries are skipped; the current one is
    # in `_entered`.
    _heap: list[tuple[int, int, int, O]] = field(default_factory=list)
    _entered: dict[O, tuple[int, int, int, O]] = field(default_factory=dict)
    _entries: int = 0

    def join(self, key: K, owner: O) -> None:
        """Append to the owner's queue."""
        self._line.setdefault(owner, {})[key] = None
        self._enter(owner)

    def leave(self, key: K, owner: O) -> None:
        """Leave the queue."""
        line = self._line.get(owner, {})
        line.pop(key, None)
        if not line:
            self._line.pop(owner, None)

    def waiting(self, owner: O) -> int:
        """Number of waiting entries of an owner."""
        return len(self._line.get(owner, ()))

    @property
    def all_waiting(self) -> int:
        """Number of waiting entries."""
        return sum(map(len, self._line.values()))

    def last_in_longest_line(self) -> tuple[K, O] | None:
        """The newest entry of the owner with the longest queue; among equals, of the owner served last."""
        if not self._line:
            return None
        owner = max(self._line, key=lambda each: (len(self._line[each]), self._last.get(each, 0)))
        return next(reversed(self._line[owner])), owner

    def last_turn(self, owner: O) -> int:
        """The owner's last turn; 0: none is remembered."""
        return self._last.get(owner, 0)

    def give_back(self, key: K) -> None:
        """Free the slot, if it is held."""
        if key not in self.held:
            return
        owner = self.held.pop(key)
        self._counts[owner] -= 1
        if not self._counts[owner]:
            del self._counts[owner]
        self._enter(owner)

    def next(self) -> K | None:
        """Give a free slot to the owner with the fewest; among equals to the one whose last turn is oldest."""
        first = self._first()
        if first is None:
            return None
        owner = first[-1]
        line = self._line[owner]
        key = next(iter(line))
        self.leave(key, owner)
        self._remember(owner)
        self.held[key] = owner
        self._counts[owner] = self._counts.get(owner, 0) + 1
        self._enter(owner)
        return key

    def _first(self) -> tuple[int, int, int, O] | None:
        while self._heap:
            entry = self._heap[0]
            count, _, _, owner = entry
            if self._entered.get(owner) is entry and owner in self._line:
                full = len(self.held) >= self.total and not (self.one_each and not count)
                return None if full else entry
            heapq.heappop(self._heap)
            if self._entered.get(owner) is entry:
                del self._entered[owner]
        return None

    def _enter(self, owner: O) -> None:
        """Push its current state, unless the owner has no queue, has its share, or is in the heap with this state."""
        count, last = self._counts.get(owner, 0), self._last.get(owner, 0)
        known = self._entered.get(owner)
        if count >= self.share or owner not in self._line:
            self._entered.pop(owner, None)
        elif known is None or known[:2] != (count, last):
            self._entries += 1
            self._entered[owner] = entry = (count, last, self._entries, owner)
            heapq.heappush(self._heap, entry)
            if len(self._heap) > 2 * len(self._entered) + _MOST_PAST:
                self._heap = sorted(self._entered.values(), key=lambda each: each[:3])

    def _remember(self, owner: O) -> None:
        self._turns += 1
        self._last.pop(owner, None)
        self._last[owner] = self._turns
        if len(self._last) > MAX_REMEMBERED:
            del self._last[next(iter(self._last))]
