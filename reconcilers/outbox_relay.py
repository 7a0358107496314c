"""The relay: what was committed and not yet done is done, at least once, by whichever worker is there.

It wakes at once (LISTEN) and also sweeps, so that neither a lost notification nor a dead worker loses anything.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

import structlog
from sqlalchemy.exc import SQLAlchemyError

from contracts.names import SignalName
from domain.errors import DependencyError
from domain.lifecycle import OperationKind
from orchestration.operations import Operations
from runtime.reconciler import Reconciler
from runtime.tracing import continued
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

WORKFLOW_START = "workflow_start"
WORKFLOW_SIGNAL = "workflow_signal"


class OutboxRelay(Reconciler):
    """A pass is a batch. Several workers may do the same: they skip what the others hold."""

    name = "outbox_relay"
    interval_s = 2.0

    def __init__(self, sessions: Sessions, operations: Operations, listener: Listener) -> None:
        super().__init__(listener)
        self._sessions = sessions
        self._operations = operations
        self._doers: Mapping[str, Callable[[OutboxEntry, OutboxClaims], Awaitable[None]]] = {
            WORKFLOW_START: self._start_workflow,
            WORKFLOW_SIGNAL: self._signal_workflow,
        }

    async def reconcile(self) -> int:
        """Do what is due; returns how many were done."""
        away = done = 0
        async with transaction(self._sessions) as session:
            claims = OutboxClaims(session)
            entries = await claims.due(kinds=list(self._doers), limit=BATCH)
            for entry in entries:
                fault = await self._do(entry, claims)
                done += fault is None
                away = away + 1 if isinstance(fault, DependencyError) else 0
                if away == MOST_AWAY:
                    # Temporal is away for all of them: each try costs seconds, and the rows are locked meanwhile.
                    return done
            self.more = len(entries) == BATCH
        return done

    async def _do(self, entry: OutboxEntry, claims: OutboxClaims) -> Exception | None:
        """Returns the error; it is tried again later and does not hold up the others."""
        try:
            with continued(entry.traceparent, f"outbox.{entry.kind}"):
                async with asyncio.timeout(LIMIT_S), claims.alone():
                    await self._doers[entry.kind](entry, claims)
                    await claims.done(entry.id)
        except DependencyError as error:
            log.warning("relay.delayed", topic=entry.topic, resource_id=str(entry.resource_id), reason=error.message)
            await claims.later(entry, error.message)
            return error
        except Exception as error:
            if isinstance(error, SQLAlchemyError):
                raise  # the database is away, or this transaction is broken: all of it is done again
            log.exception("relay.not_done", topic=entry.topic, resource_id=str(entry.resource_id))
            await claims.later(entry, f"{type(error).__name__}: {error}", longest=LONGEST_PAUSE)
            return error
        return None

    async def _start_workflow(self, entry: OutboxEntry, claims: OutboxClaims) -> None:
        await self._operations.start(OperationKind(entry.topic), entry.payload)
        await claims.started(entry.resource_id)
        log.info("operation.started", operation_id=str(entry.resource_id), kind=entry.topic)

    async def _signal_workflow(self, entry: OutboxEntry, claims: OutboxClaims) -> None:
        del claims
        await self._operations.tell_environment(SignalName(entry.topic), entry.payload)
        log.info("environment.told", environment_id=str(entry.resource_id), signal=entry.topic)
