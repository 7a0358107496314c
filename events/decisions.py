"""The relay of decisions: what somebody decided and nobody has an answer to is told again, until there is one.

Apart from the relay of starts, and many at once: a workflow without a worker takes seconds for every attempt, and what
others asked for must not wait for it.
"""

import asyncio

import structlog

from domain.errors import DeliveryError
from orchestration.telling import Teller, Telling
from storage.engine import Sessions, transaction
from storage.repositories.decisions import STILL_RUNNING, DecisionRepository, Pending

log = structlog.get_logger(__name__)

BATCH = 20
LOOK_EVERY_S = 1.0


class DecisionRelay:
    """Runs until cancelled. Several workers may do the same."""

    def __init__(self, sessions: Sessions, workflows: Teller) -> None:
        self._sessions = sessions
        self._workflows = workflows

    async def run(self) -> None:
        """Tell what is due, look again after a second, and so on."""
        while True:
            try:
                while await self.tell_due() == BATCH:
                    pass
            except DeliveryError as error:
                log.warning("decisions.paused", reason=error.message)
            except Exception:
                log.exception("decisions.fault")
            await asyncio.sleep(LOOK_EVERY_S)

    async def tell_due(self) -> int:
        """Tell some that are due; returns how many. One that fails keeps no other from being told."""
        async with transaction(self._sessions) as session:
            claimed = await DecisionRepository(session).claim(BATCH)
        results = await asyncio.gather(*(self._tell(one) for one in claimed), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                log.error("decisions.fault", exc_info=result)
        return len(claimed)

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
