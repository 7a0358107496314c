"""Build slots of a worker: an operation holds one from its workspace to the end of its build.

They are in memory and die with the worker: none is lost to one that was killed. What waits beyond a few of each
organization waits in Temporal's task queue, ordered by its fairness keys. Whoever waits here takes a seat, of which
there are so many that some stay empty: an organization that comes as the last one takes that of the organization with
the most, whose build goes back to the queue.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

import structlog
from temporalio import activity

from domain.dealing import Deal, share_of_one
from domain.errors import DependencyError

log = structlog.get_logger(__name__)

# Builds of one organization that wait in the worker. More would take the seats of others' builds, which Temporal deals.
SEATS_OF_ONE = 10
# An operation between two of its steps keeps its slot so long; then it is taken for one that went on elsewhere.
LEASE_S = 120.0
# Builds of all organizations together that wait in the worker.
SEATS = 200
_LOOK_EVERY_S = 1.0


class BuildSlots:
    """Build slots, shared fairly: the organization with the fewest gets the next.

    Args:
        total: how many there are.
        per_organization: how many of them one organization may hold; None: all but one.
        seats: how many may wait here.
        lease_s: how long an operation keeps its slot while nothing of it runs.
        clock: seconds.
    """

    def __init__(
        self,
        total: int,
        per_organization: int | None = None,
        *,
        seats: int = SEATS,
        lease_s: float = LEASE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._deal: Deal[UUID, str] = Deal(total, share_of_one(total, per_organization))
        self._seats = seats
        self._lease_s = lease_s
        self._clock = clock
        self._given: dict[UUID, asyncio.Event] = {}
        self._unseated: set[UUID] = set()
        self._busy: dict[UUID, int] = {}
        self._idle_since: dict[UUID, float] = {}

    async def take(self, operation_id: UUID, organization: str) -> None:
        """Wait for a slot and keep it until it is given back; an operation that has one keeps that.

        Raises:
            DependencyError: enough of this organization wait here already (Temporal asks again), or the worker stops.
        """
        if operation_id not in self._deal.held:
            self._seat(organization)
        await self._wait(operation_id, organization)

    def _seat(self, organization: str) -> None:
        """Have a seat free for one more of an organization, if need be another one's."""
        mine = self._deal.waiting(organization)
        if mine >= SEATS_OF_ONE:
            raise _no_seat()
        if self._deal.all_waiting < self._seats:
            return
        longest = self._deal.last_in_longest_line()
        if longest is None:
            raise _no_seat()
        operation, other = longest
        theirs = self._deal.waiting(other)
        had_theirs = self._deal.last_turn(other) > self._deal.last_turn(organization)
        if theirs <= mine or (theirs == mine + 1 and not had_theirs):
            raise _no_seat()
        self._deal.leave(operation, other)
        self._unseated.add(operation)
        self._given[operation].set()

    @asynccontextmanager
    async def working(self, operation_id: UUID, organization: str) -> AsyncIterator[None]:
        """Hold a slot while the body runs: the operation's own, or another one if that is gone."""
        await self._wait(operation_id, organization)
        self._busy[operation_id] = self._busy.get(operation_id, 0) + 1
        try:
            yield
        finally:
            self._busy[operation_id] -= 1
            if not self._busy[operation_id]:
                del self._busy[operation_id]
                if operation_id in self._deal.held:
                    self._idle_since[operation_id] = self._clock()

    @property
    def held(self) -> frozenset[UUID]:
        """Operations that have one."""
        return frozenset(self._deal.held)

    def give_back(self, operation_id: UUID) -> None:
        """The operation's build is over; one without a slot is fine."""
        self._deal.give_back(operation_id)
        self._idle_since.pop(operation_id, None)
        self._deal_out()

    async def _wait(self, operation_id: UUID, organization: str) -> None:
        if operation_id in self._deal.held:
            return
        if operation_id in self._given:
            raise DependencyError("This operation waits for a build slot already, for an earlier attempt.")
        given = self._given[operation_id] = asyncio.Event()
        self._deal.join(operation_id, organization)
        try:
            while not given.is_set():
                self._end_leases()
                self._deal_out()
                await self._look_up(given)
            self._check_seated(operation_id)
        except BaseException:
            self._deal.leave(operation_id, organization)
            if given.is_set():  # it came at the moment of the cancellation
                self.give_back(operation_id)
            raise
        finally:
            self._unseated.discard(operation_id)
            del self._given[operation_id]

    def _check_seated(self, operation_id: UUID) -> None:
        if operation_id in self._unseated:
            raise _no_seat()

    @staticmethod
    async def _look_up(given: asyncio.Event) -> None:
        if activity.in_activity() and activity.is_worker_shutdown():
            raise DependencyError("This build worker stops; the build waits for another one.")
        try:
            async with asyncio.timeout(_LOOK_EVERY_S):
                await given.wait()
        except TimeoutError:
            return

    def _deal_out(self) -> None:
        while (operation := self._deal.next()) is not None:
            self._idle_since[operation] = self._clock()
            self._given[operation].set()

    def _end_leases(self) -> None:
        """Release slots of operations long without activity: they moved on while this worker was frozen."""
        now = self._clock()
        for operation in [o for o, since in self._idle_since.items() if now - since > self._lease_s]:
            if operation not in self._busy and operation not in self._given:
                log.warning("build_slots.lease_ended", operation_id=str(operation))
                self.give_back(operation)


def _no_seat() -> DependencyError:
    """Temporal asks again, later and later."""
    return DependencyError("All build slots are in use, and enough builds of this organization wait for one.")
