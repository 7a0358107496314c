"""The relay: what was committed and not yet done is done, at least once, by whichever worker is there.

It wakes at once (LISTEN) and also sweeps, so that neither a lost notification nor a dead worker loses anything.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

import structlog
from sqlalchemy.exc import SQLAlchemyError

from contracts.names import SignalName
from domain.errors import DeliveryError, DependencyError
from domain.lifecycle import OperationKind
from orchestration.operations import Operations
from storage.engine import Sessions, transaction
from storage.listen import Listener
from storage.models import OutboxEntry
from storage.repositories.outbox_claims import OutboxClaims

log = structlog.get_logger(__name__)

BATCH = 10
# In a row; then the others are not even tried.
MOST_AWAY = 2
# Of one entry; longer than every limit below it.
LIMIT_S = 10.0
LONGEST_PAUSE = timedelta(seconds=50)
SWEEP_EVERY_S = 2.0
PAUSE_AFTER_FAULT_S = 1.0

WORKFLOW_START = "workflow_start"
WORKFLOW_SIGNAL = "workflow_signal"


class Relay:
    """Runs until cancelled."""

    def __init__(self, sessions: Sessions, operations: Operations, listener: Listener) -> None:
        self._sessions = sessions
        self._operations = operations
        self._listener = listener
        self._doers: Mapping[str, Callable[[OutboxEntry, OutboxClaims], Awaitable[None]]] = {
            WORKFLOW_START: self._start_workflow,
            WORKFLOW_SIGNAL: self._signal_workflow,
        }

    async def run(self) -> None:
        """Drain the outbox, wait for a notification or the next sweep, and so on."""
        while True:
            try:
                while await self._drain_batch() == BATCH:
                    pass
                await self._listener.wait(SWEEP_EVERY_S)
            except DeliveryError as error:
                log.warning("relay.paused", reason=error.message)
                await asyncio.sleep(PAUSE_AFTER_FAULT_S)
            except Exception:
                log.exception("relay.fault")
                await asyncio.sleep(PAUSE_AFTER_FAULT_S)

    async def _drain_batch(self) -> int:
        """Do what is due; 0 with Temporal away, else how many were looked at."""
        away = 0
        async with transaction(self._sessions) as session:
            claims = OutboxClaims(session)
            entries = await claims.due(kinds=list(self._doers), limit=BATCH)
            for entry in entries:
                away = 0 if await self._do(entry, claims) else away + 1
                if away == MOST_AWAY:
                    # Temporal is away for all of them: each try costs seconds, and the rows are locked meanwhile.
                    return 0
            return len(entries)

    async def _do(self, entry: OutboxEntry, claims: OutboxClaims) -> bool:
        """Whether Temporal answered. One that cannot be done by itself is tried again later, and keeps nobody."""
        try:
            async with asyncio.timeout(LIMIT_S), claims.alone():
                await self._doers[entry.kind](entry, claims)
                await claims.done(entry.id)
        except DependencyError as error:
            log.warning("relay.delayed", topic=entry.topic, resource_id=str(entry.resource_id), reason=error.message)
            await claims.later(entry, error.message)
            return False
        except Exception as error:
            if isinstance(error, SQLAlchemyError):
                raise  # the database is away, or this transaction is broken: all of it is done again
            log.exception("relay.not_done", topic=entry.topic, resource_id=str(entry.resource_id))
            await claims.later(entry, f"{type(error).__name__}: {error}", longest=LONGEST_PAUSE)
        return True

    async def _start_workflow(self, entry: OutboxEntry, claims: OutboxClaims) -> None:
        await self._operations.start(OperationKind(entry.topic), entry.payload)
        await claims.started(entry.resource_id)
        log.info("operation.started", operation_id=str(entry.resource_id), kind=entry.topic)

    async def _signal_workflow(self, entry: OutboxEntry, claims: OutboxClaims) -> None:
        del claims
        await self._operations.tell_environment(SignalName(entry.topic), entry.payload)
        log.info("environment.told", environment_id=str(entry.resource_id), signal=entry.topic)
