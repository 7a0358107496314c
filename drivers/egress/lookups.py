"""Who looks up a name when: organizations take turns, and names that nobody answers keep no others' waiting.

A question takes a thread until the system's resolver gives up. However many organizations ask for names that are never
answered, each other one has a thread of its own at any time; what is dead is not asked again for a while.
"""

import asyncio
from collections.abc import Awaitable, Callable

from domain.dealing import Deal
from drivers.egress.names import NoSuchNameError, Resolve

# Questions under way at once, and those of one organization among them. An organization without any gets one beyond.
AT_ONCE, OF_ONE = 64, 16
# A name that took so many seconds to come to nothing is taken for dead for so many more. Others are asked each time.
SLOW_S, DEAD_S = 1.0, 15.0
MAX_DEAD = 4096

Clock = Callable[[], float]
Answer = asyncio.Future[list[str]]


class DeadNames:
    """Names that were not answered lately; of too many the oldest are forgotten."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}

    def add(self, host: str) -> None:
        """From now on."""
        self._until.pop(host, None)
        self._until[host] = self._clock() + DEAD_S
        if len(self._until) > MAX_DEAD:
            del self._until[next(iter(self._until))]

    def __contains__(self, host: str) -> bool:
        if self._until.get(host, 0.0) > self._clock():
            return True
        self._until.pop(host, None)
        return False


class Lookups:
    """Asks `resolve` in turns. One question for all who ask for a name while it is asked.

    Args:
        resolve: how names become addresses; it takes as long as it takes, and cannot be stopped.
        clock: seconds; None: the loop's.
    """

    def __init__(self, resolve: Resolve, clock: Clock | None = None) -> None:
        self._resolve = resolve
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._deal: Deal[object, str] = Deal(AT_ONCE, OF_ONE, one_each=True)
        self._turns: dict[object, asyncio.Event] = {}
        self._asked: dict[str, Answer] = {}
        self._dead = DeadNames(self._clock)

    async def addresses(self, host: str, organization: str) -> list[str]:
        """The addresses of a host. Whoever gives up leaves the question to the others who ask.

        Raises:
            NoSuchNameError: it has none, or nobody answers.
        """
        if host in self._dead:
            raise NoSuchNameError(host)
        # Only a question that is under way is shared: one that waits would wait for its organization's turn.
        asked = self._asked.get(host) or await self._ask(host, organization)
        return await asyncio.shield(asked)

    async def _ask(self, host: str, organization: str) -> Answer:
        place = await self._turn(organization)
        if host in self._dead or host in self._asked:  # meanwhile
            self._give_back(place)
            if host in self._dead:
                raise NoSuchNameError(host)
            return self._asked[host]
        began = self._clock()
        asked = self._asked[host] = asyncio.ensure_future(_as_coroutine(self._resolve(host)))
        asked.add_done_callback(lambda answer: self._answered(host, place, answer, self._clock() - began))
        return asked

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

    def _answered(self, host: str, place: object, answer: Answer, took_s: float) -> None:
        del self._asked[host]
        if not answer.cancelled() and answer.exception() and took_s >= SLOW_S:
            self._dead.add(host)
        self._give_back(place)

    def _give_back(self, place: object) -> None:
        self._deal.give_back(place)
        self._deal_out()

    def _deal_out(self) -> None:
        while (place := self._deal.next()) is not None:
            self._turns[place].set()


async def _as_coroutine(answer: Awaitable[list[str]]) -> list[str]:
    return await answer
