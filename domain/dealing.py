"""Who goes next where there are few places: they are dealt in turn between owners (organizations)."""

import heapq
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

# Owners whose last turn is remembered; whoever comes back after so many others counts as new.
MAX_REMEMBERED = 10_000

# Entries that say no more what is so, beside as many as there are of the others.
_MOST_PAST = 64

K = TypeVar("K", bound=Hashable)
O = TypeVar("O", bound=Hashable)  # noqa: E741 - an owner


def share_of_one(total: int, wanted: int | None = None) -> int:
    """How many of `total` places one owner may hold: with two or more, one stays free for the others."""
    return max(1, min(total, wanted if wanted is not None else total - 1))


@dataclass
class Deal(Generic[K, O]):
    """The line before the places and who holds them. It decides only; whoever waits is woken by its caller.

    Each decision costs the logarithm of how many owners wait, however many wait of each.

    Attributes:
        total: places there are.
        share: places that one owner may hold.
        one_each: whoever holds none gets one beyond the total: others that hold theirs for long keep nobody out.
        held: who has a place -> its owner.
    """

    total: int
    share: int
    one_each: bool = False
    held: dict[K, O] = field(default_factory=dict)
    _line: dict[O, dict[K, None]] = field(default_factory=dict)  # the oldest first
    _counts: dict[O, int] = field(default_factory=dict)  # places held
    _last: dict[O, int] = field(default_factory=dict)  # the last turn, the longest ago first
    _turns: int = 0
    # Owners that may get a place: (held, last turn, when it came, owner). An entry that says no more what is so is
    # passed over; the one that does is known in `_entered`.
    _heap: list[tuple[int, int, int, O]] = field(default_factory=list)
    _entered: dict[O, tuple[int, int, int, O]] = field(default_factory=dict)
    _entries: int = 0

    def join(self, key: K, owner: O) -> None:
        """Stand at the end of the owner's own line."""
        self._line.setdefault(owner, {})[key] = None
        self._enter(owner)

    def leave(self, key: K, owner: O) -> None:
        """Wait no more."""
        line = self._line.get(owner, {})
        line.pop(key, None)
        if not line:
            self._line.pop(owner, None)

    def waiting(self, owner: O) -> int:
        """How many of an owner wait."""
        return len(self._line.get(owner, ()))

    @property
    def all_waiting(self) -> int:
        """How many wait."""
        return sum(map(len, self._line.values()))

    def last_in_longest_line(self) -> tuple[K, O] | None:
        """Who came last of the owner with the most that wait; among equals of the one whose turn was last."""
        if not self._line:
            return None
        owner = max(self._line, key=lambda each: (len(self._line[each]), self._last.get(each, 0)))
        return next(reversed(self._line[owner])), owner

    def last_turn(self, owner: O) -> int:
        """Which turn was the owner's last; 0: none that is remembered."""
        return self._last.get(owner, 0)

    def give_back(self, key: K) -> None:
        """The place is free, if it was held."""
        if key not in self.held:
            return
        owner = self.held.pop(key)
        self._counts[owner] -= 1
        if not self._counts[owner]:
            del self._counts[owner]
        self._enter(owner)

    def next(self) -> K | None:
        """Give a free place to the owner with the fewest; among equals to the one whose turn is longest ago."""
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
        """Into the heap as it is now, unless it has nobody waiting, has its share, or is in it like that."""
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
