"""Sends stored decisions (approve, abort, ...) to their workflows again until one is answered.

Apart from the relay of starts, and many at once: a workflow without a worker takes seconds for every attempt, and what
others asked for must not wait for it. Nor must it wait for an organization that has a thousand of them: turns are dealt
between organizations, and one that has none under way gets one at once.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from uuid import UUID

import structlog

from domain.errors import DeliveryError
from orchestration.telling import Teller, Telling
from storage.engine import Sessions, transaction
from storage.repositories.decisions import STILL_RUNNING, DecisionRepository, Pending

log = structlog.get_logger(__name__)

# Under way at once, more only for organizations that have none; and of one organization.
AT_ONCE = 40
OF_ONE = 10
# Looked at in one go.
MOST_SEEN = 1000
LOOK_EVERY_S = 1.0


class DecisionRelay:
    """Runs until cancelled. Several workers may do the same."""

    def __init__(self, sessions: Sessions, workflows: Teller) -> None:
        self._sessions = sessions
        self._workflows = workflows
        self._under_way: dict[asyncio.Task[None], UUID | None] = {}

    async def run(self) -> None:
        """Tell what is due, look again after a second or when one was told, and so on."""
        try:
            while True:
                try:
                    await self._begin_due()
                except DeliveryError as error:
                    log.warning("decisions.paused", reason=error.message)
                except Exception:
                    log.exception("decisions.fault")
                await self._rest()
        finally:
            for task in self._under_way:
                task.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _rest(self) -> None:
        """Until there is room again, if there was none; else for a second."""
        if len(self._under_way) >= AT_ONCE:
            await asyncio.wait(self._under_way, timeout=LOOK_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
        else:
            await asyncio.sleep(LOOK_EVERY_S)

    async def tell_due(self) -> int:
        """Send due decisions and wait; returns their number. A failure does not stop the others."""
        begun = await self._begin_due()
        if begun:
            await asyncio.wait(begun)
        return len(begun)

    async def _begin_due(self) -> Sequence[asyncio.Task[None]]:
        async with transaction(self._sessions) as session:
            decisions = DecisionRepository(session)
            due = await decisions.due(of_one=OF_ONE, limit=MOST_SEEN)
            claimed = await decisions.claim(self._chosen(due))
        return [self._begin(one) for one in claimed]

    def _chosen(self, due: Sequence[tuple[UUID, UUID]]) -> list[UUID]:
        taken, chosen = Counter(self._under_way.values()), list[UUID]()
        for decision_id, organization_id in due:
            is_room = len(self._under_way) + len(chosen) < AT_ONCE
            if not taken[organization_id] or (is_room and taken[organization_id] < OF_ONE):
                taken[organization_id] += 1
                chosen.append(decision_id)
        return chosen

    def _begin(self, pending: Pending) -> asyncio.Task[None]:
        task = asyncio.create_task(self._tell(pending))
        self._under_way[task] = pending.entry.organization_id
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._under_way[task]
        if not task.cancelled() and (fault := task.exception()):
            log.error("decisions.fault", exc_info=fault)

    async def _tell(self, pending: Pending) -> None:
        entry, operation = pending.entry, pending.operation
        try:
            told = await Telling.of(entry.topic, entry.payload, operation).tell(self._workflows)
        except DeliveryError as error:
            log.warning(
                "decision.delayed", action=entry.topic, operation_id=str(entry.resource_id), reason=error.message
            )
            async with transaction(self._sessions) as session:
                await DecisionRepository(session).later(entry.id, error.message)
            return
        async with transaction(self._sessions) as session:
            decisions = DecisionRepository(session)
            if await decisions.settle(entry.id, told.to_json()) is None:
                await decisions.later(entry.id, STILL_RUNNING)
                return
        log.info("decision.told", action=entry.topic, operation_id=str(entry.resource_id), accepted=told.accepted)
