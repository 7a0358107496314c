"""Does one kind of work on many items. An item that fails or hangs does not hold up the others."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from domain.dealing import Deal
from domain.errors import DeliveryError, DependencyError
from runtime.logging import get_logger

log = get_logger(__name__)

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
Act = Callable[[T], Awaitable[bool | None]]
"""What is done with an item. False: nothing had to be mended, or somebody else was first."""

FIRST_PAUSE_S = 5.0
FIRST_WAIT_S = 1.0
# How long the failures of an item are remembered after it was last given.
KEPT_S = 600.0
# A dependency that is away is likely to be back soon; other failures are likely to last.
LONGEST_WAIT_S = 10.0
LONGEST_PAUSE_S = 300.0
# Log lines about items of one pass; the others are logged as a number.
MOST_LOGGED = 10


@dataclass(frozen=True)
class _Failing:
    times: int
    until: float


class Sweep(Generic[K]):
    """One kind of work on items that are named by keys; each pass gives it items.

    An item that fails is not tried again for a pause, which grows with each failure. One that takes longer than its
    limit is cancelled, and has failed. Items with the fewest failures come first.

    Where items have owners (organizations), places are dealt between owners, and an owner without any gets one at once:
    an item that takes twenty minutes does not hold up other owners.

    Args:
        name: in the log.
        limit_s: seconds for one item.
        at_once: items at the same time; more only for owners that have none under way.
        of_one: how many of one owner; None: all.
        most_away: after so many whose dependency does not answer, the other items of a pass are not tried.
        clock: seconds, for the pauses.
    """

    def __init__(
        self,
        name: str,
        *,
        limit_s: float,
        at_once: int = 8,
        of_one: int | None = None,
        most_away: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._limit_s = limit_s
        self._deal: Deal[K, Hashable] = Deal(at_once, of_one or at_once, one_each=of_one is not None)
        self._waits: dict[K, asyncio.Event] = {}
        self._clock = clock
        self._tasks: dict[K, asyncio.Task[bool]] = {}
        self._failing: dict[K, _Failing] = {}
        self._logged = 0
        self._mended = 0
        self._most_away = most_away
        self._away = 0

    async def each(
        self,
        items: Mapping[K, T],
        act: Act[T],
        *,
        owners: Mapping[K, Hashable] | None = None,
        wait_s: float | None = None,
    ) -> int:
        """Act on each item that is not under way and not pausing, and wait for these.

        Args:
            items: what there is to do now, by key.
            act: what to do; its False is not counted; what it raises is logged.
            owners: of each item; items that are not named share one owner.
            wait_s: seconds until it goes on without those that are still under way; None: as long as they take.

        Returns:
            How many it mended within that time.
        """
        self._tell_rest()
        self._away = 0
        now = self._clock()
        # A pass may be given one page of the items, or only those that do not pause.
        self._failing = {k: found for k, found in self._failing.items() if k in items or now < found.until + KEPT_S}
        due = [key for key in items if key not in self._tasks and self._pause_is_over(key, now)]
        due.sort(key=self._times)
        owners = owners or {}
        begun = [self._begin(key, act, items[key], owners.get(key)) for key in due]
        if not begun:
            return 0
        try:
            done, _ = await asyncio.wait(begun, timeout=wait_s)
        except asyncio.CancelledError:
            await self.close()
            raise
        return sum(not task.cancelled() and task.result() for task in done)

    def finished(self) -> int:
        """How many were mended since the last call, also of those that no pass waited for."""
        mended, self._mended = self._mended, 0
        return mended

    @property
    def under_way(self) -> frozenset[K]:
        """Keys of items that are worked on."""
        return frozenset(self._tasks)

    @property
    def pausing(self) -> frozenset[K]:
        """Keys of items that failed and are not tried yet; of those that the last passes were given."""
        now = self._clock()
        return frozenset(key for key, found in self._failing.items() if found.until > now)

    async def close(self) -> None:
        """Cancel what is under way."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, key: K, act: Act[T], item: T, owner: Hashable) -> asyncio.Task[bool]:
        task = asyncio.create_task(self._in_turn(key, act, item, owner))
        self._tasks[key] = task
        task.add_done_callback(lambda _: self._tasks.pop(key, None))
        return task

    async def _in_turn(self, key: K, act: Act[T], item: T, owner: Hashable) -> bool:
        turn = self._waits[key] = asyncio.Event()
        self._deal.join(key, owner)
        self._deal_out()
        try:
            await turn.wait()
            return await self._one(key, act, item)
        finally:
            del self._waits[key]
            self._deal.leave(key, owner)
            self._deal.give_back(key)
            self._deal_out()

    def _deal_out(self) -> None:
        while (key := self._deal.next()) is not None:
            self._waits[key].set()

    async def _one(self, key: K, act: Act[T], item: T) -> bool:
        """Whether it mended something."""
        if self._most_away is not None and self._away >= self._most_away:
            return False
        try:
            async with asyncio.timeout(self._limit_s):
                mended = await act(item) is not False
        except Exception as error:  # noqa: BLE001 - logged; the others go on
            self._failed(key, error)
            return False
        self._failing.pop(key, None)
        self._mended += mended
        return mended

    def _failed(self, key: K, error: Exception) -> None:
        times = self._times(key) + 1
        is_away = isinstance(error, DependencyError)
        self._away += is_away
        longest = LONGEST_WAIT_S if is_away else LONGEST_PAUSE_S
        pause = min(longest, (FIRST_WAIT_S if is_away else FIRST_PAUSE_S) * 2 ** min(times - 1, 10))
        self._failing[key] = _Failing(times, self._clock() + pause)
        self._logged += 1
        if self._logged > MOST_LOGGED:
            return
        about = {"item": str(key), "times": times, "again_in_s": round(pause)}
        if isinstance(error, DeliveryError):
            log.warning("sweep.not_done", sweep=self._name, reason=error.message, **about)
        elif isinstance(error, TimeoutError):
            log.warning("sweep.not_done", sweep=self._name, reason=f"it took longer than {self._limit_s:g} s", **about)
        else:
            log.error("sweep.fault", sweep=self._name, exc_info=error, **about)

    def _tell_rest(self) -> None:
        if self._logged > MOST_LOGGED:
            log.warning("sweep.more_not_done", sweep=self._name, items=self._logged - MOST_LOGGED)
        self._logged = 0

    def _times(self, key: K) -> int:
        return self._failing[key].times if key in self._failing else 0

    def _pause_is_over(self, key: K, now: float) -> bool:
        return key not in self._failing or self._failing[key].until <= now


async def stages(name: str, *works: Callable[[], Awaitable[int]], limit_s: float | None = None) -> int:
    """Do works one after the other, also after one of them failed; returns the sum of what they mended.

    Args:
        name: in the log.
        works: what is done.
        limit_s: seconds for each; None: they have limits of their own.

    Raises:
        Exception: that of the last one, when all of them failed.
    """
    mended, failed = 0, list[Exception]()
    for work in works:
        try:
            async with asyncio.timeout(limit_s):
                mended += await work()
        except DeliveryError as error:
            failed.append(error)
            log.warning("sweep.paused", sweep=name, stage=_name_of(work), reason=error.message)
        except Exception as error:
            failed.append(error)
            log.exception("sweep.fault", sweep=name, stage=_name_of(work))
    if failed and len(failed) == len(works):
        raise failed[-1]
    return mended


def _name_of(work: Callable[[], Awaitable[object]]) -> str:
    named = work.func if isinstance(work, partial) else work
    return str(getattr(named, "__name__", type(named).__name__)).strip("_")
