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
from runtime.reconciler import Reconciler
from runtime.tracing import continued
from storage.engine import Sessions, transaction
from storage.repositories.decisions import STILL_RUNNING, DecisionRepository, Pending

log = structlog.get_logger(__name__)

# Under way at once, more only for organizations that have none; and of one organization.
AT_ONCE = 40
OF_ONE = 10
# Looked at in one go.
MOST_SEEN = 1000


class DecisionRelay(Reconciler):
    """Several workers may do the same. A pass does not wait for the answers."""

    name = "decision_relay"
    interval_s = 1.0

    def __init__(self, sessions: Sessions, workflows: Teller) -> None:
        super().__init__()
        self._sessions = sessions
        self._workflows = workflows
        self._under_way: dict[asyncio.Task[None], UUID | None] = {}

    async def reconcile(self) -> int:
        """Begin to send what is due; returns how many. A failure does not stop the others."""
        async with transaction(self._sessions) as session:
            decisions = DecisionRepository(session)
            due = await decisions.due(of_one=OF_ONE, limit=MOST_SEEN)
            claimed = await decisions.claim(self._chosen(due))
        for one in claimed:
            self._begin(one)
        return len(claimed)

    async def rest(self, seconds: float) -> bool:
        """Until there is room again, if there was none."""
        if len(self._under_way) < AT_ONCE:
            return await super().rest(seconds)
        await asyncio.wait(self._under_way, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return True

    async def close(self) -> None:
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    def _chosen(self, due: Sequence[tuple[UUID, UUID]]) -> list[UUID]:
        taken, chosen = Counter(self._under_way.values()), list[UUID]()
        for decision_id, organization_id in due:
            is_room = len(self._under_way) + len(chosen) < AT_ONCE
            if not taken[organization_id] or (is_room and taken[organization_id] < OF_ONE):
                taken[organization_id] += 1
                chosen.append(decision_id)
        return chosen

    def _begin(self, pending: Pending) -> None:
        task = asyncio.create_task(self._tell(pending))
        self._under_way[task] = pending.entry.organization_id
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._under_way[task]
        if not task.cancelled() and (fault := task.exception()):
            log.error("decisions.fault", exc_info=fault)

    async def _tell(self, pending: Pending) -> None:
        with continued(pending.entry.traceparent, f"outbox.{pending.entry.kind}"):
            await self._tell_traced(pending)

    async def _tell_traced(self, pending: Pending) -> None:
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
