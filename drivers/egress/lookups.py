"""Schedules DNS lookups: a fair share of threads per organization, and a negative cache for unresponsive names.

A lookup occupies a thread until the system's resolver gives up. However many organizations ask for names that never
resolve, every other organization has a thread available. A name that timed out is not looked up again for a while.
"""

import asyncio
from collections.abc import Callable, Sequence

from domain.dealing import Deal
from runtime.outbound import LookupUnavailableError, Resolve, UnresolvedError
from runtime.single_flight import SharedAnswers

# Lookups in progress at once, and those of one organization among them. An organization without any may exceed this by
# one.
AT_ONCE, OF_ONE = 64, 16
# For `AT_ONCE` lookups, and one for each further organization.
THREADS = 1024
# A name whose lookup failed after this many seconds counts as dead for this long. Others are looked up each time.
SLOW_S, DEAD_S = 1.0, 15.0
MAX_DEAD = 4096

Clock = Callable[[], float]


class DeadNames:
    """Names that did not resolve recently; when there are too many, the oldest are dropped."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[str, tuple[float, type[UnresolvedError]]] = {}

    def add(self, host: str, why: type[UnresolvedError] = LookupUnavailableError) -> None:
        """Count the name as dead from now on."""
        self._until.pop(host, None)
        self._until[host] = self._clock() + DEAD_S, why
        if len(self._until) > MAX_DEAD:
            del self._until[next(iter(self._until))]

    def __contains__(self, host: str) -> bool:
        return self.why(host) is not None

    def why(self, host: str) -> type[UnresolvedError] | None:
        """Why its lookup failed; None: it is not dead."""
        until, why = self._until.get(host, (0.0, None))
        if until > self._clock():
            return why
        self._until.pop(host, None)
        return None


class Lookups:
    """Schedules calls of `resolve`. All requests for a name during its lookup share one answer.

    Args:
        resolve: resolves a name to addresses; it may take long and cannot be cancelled.
        clock: seconds; None: the loop's.
    """

    def __init__(self, resolve: Resolve, clock: Clock | None = None) -> None:
        self._resolve = resolve
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._deal: Deal[object, str] = Deal(AT_ONCE, OF_ONE, one_each=True)
        self._turns: dict[object, asyncio.Event] = {}
        self._places: dict[str, object] = {}
        self._answers: SharedAnswers[str, Sequence[str]] = SharedAnswers(self._look_up, keep_s=0)
        self._dead = DeadNames(self._clock)

    async def addresses(self, host: str, organization: str) -> Sequence[str]:
        """The addresses of a host. A caller that gives up does not stop the lookup for the others.

        Raises:
            UnresolvedError: it has none, or no DNS server answers.
        """
        self._refuse_dead(host)
        # Only a lookup in progress is shared: a queued one would wait for its organization's turn.
        if not self._answers.is_under_way(host):
            place = await self._turn(organization)
            if host in self._dead or self._answers.is_under_way(host):  # meanwhile
                self._give_back(place)
                self._refuse_dead(host)
            else:
                self._places[host] = place
        return await self._answers.get(host)

    def _refuse_dead(self, host: str) -> None:
        if (why := self._dead.why(host)) is not None:
            raise why(host)

    async def _look_up(self, host: str) -> Sequence[str]:
        """Holds its thread until the resolver gives up, even if nobody waits any more."""
        place, began = self._places.pop(host), self._clock()
        try:
            return await self._resolve(host)
        except UnresolvedError as error:
            if self._clock() - began >= SLOW_S:
                self._dead.add(host, type(error))
            raise
        finally:
            self._give_back(place)

    async def _turn(self, organization: str) -> object:
        """Wait for a free thread, and hold it until it is released."""
        place, turn = object(), asyncio.Event()
        self._turns[place] = turn
        self._deal.join(place, organization)
        self._deal_out()
        try:
            await turn.wait()
        except BaseException:
            self._deal.leave(place, organization)
            self._give_back(place)  # in case it was granted just now
            raise
        finally:
            del self._turns[place]
        return place

    def _give_back(self, place: object) -> None:
        self._deal.give_back(place)
        self._deal_out()

    def _deal_out(self) -> None:
        while (place := self._deal.next()) is not None:
            self._turns[place].set()
