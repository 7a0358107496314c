"""Which organization may look up a name when: a fair share of the threads, and no second try of a dead name.

A lookup takes a thread until the system's resolver gives up. However many organizations ask for names that are never
answered, each other one has a thread of its own at any time. A name that was not answered is not looked up again for a
while.
"""

import asyncio
from collections.abc import Callable, Sequence

from domain.dealing import Deal
from runtime.outbound import LookupUnavailableError, Resolve, UnresolvedError
from runtime.single_flight import SharedAnswers

# Lookups under way at once, and those of one organization among them. An organization without any gets one beyond.
AT_ONCE, OF_ONE = 64, 16
# For `AT_ONCE` lookups, and one of each further organization.
THREADS = 1024
# A name that took so many seconds to come to nothing is taken for dead for so many more. Others are asked each time.
SLOW_S, DEAD_S = 1.0, 15.0
MAX_DEAD = 4096

Clock = Callable[[], float]


class DeadNames:
    """Names that were not answered lately; of too many the oldest are forgotten."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[str, tuple[float, type[UnresolvedError]]] = {}

    def add(self, host: str, why: type[UnresolvedError] = LookupUnavailableError) -> None:
        """From now on."""
        self._until.pop(host, None)
        self._until[host] = self._clock() + DEAD_S, why
        if len(self._until) > MAX_DEAD:
            del self._until[next(iter(self._until))]

    def __contains__(self, host: str) -> bool:
        return self.why(host) is not None

    def why(self, host: str) -> type[UnresolvedError] | None:
        """What its lookup came to; None: it is not dead."""
        until, why = self._until.get(host, (0.0, None))
        if until > self._clock():
            return why
        self._until.pop(host, None)
        return None


class Lookups:
    """Calls `resolve` in turns. All who ask for a name while it is looked up wait for the same answer.

    Args:
        resolve: how names become addresses; it takes as long as it takes, and cannot be stopped.
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
        """The addresses of a host. Whoever gives up leaves the lookup to the others who wait for it.

        Raises:
            UnresolvedError: it has none, or nobody answers.
        """
        self._refuse_dead(host)
        # Only a lookup that is under way is shared: one that waits would wait for its organization's turn.
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
        """Holds its place until the resolver gives up, whether somebody still waits or not."""
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
        """Wait for a place, and hold it until it is given back."""
        place, turn = object(), asyncio.Event()
        self._turns[place] = turn
        self._deal.join(place, organization)
        self._deal_out()
        try:
            await turn.wait()
        except BaseException:
            self._deal.leave(place, organization)
            self._give_back(place)  # should it have come at this moment
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
