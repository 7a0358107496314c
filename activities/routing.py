"""Applies the wanted routes of PostgreSQL to the router: one writer at a time, always the newest table."""

import asyncio
import time
from collections.abc import Collection, Sequence

import structlog

from domain.errors import ErrorCode, TerminalError
from domain.routing import Rejection, rejection_of
from drivers.routers.base import HeldBackError, ReadinessRule, Router
from storage.engine import Sessions, transaction
from storage.repositories.routing import RoutingRepository

WHOLE = ReadinessRule(wait_s=0.05, every_endpoint=True)
"""A new instance passes its first check within milliseconds. One that does not is waited for outside of the lock."""
SOME = ReadinessRule(wait_s=0.0, every_endpoint=False)
PATIENCE_FOR_ALL_S = 4.0
PATIENCE_S = 10.0
FIRST_PAUSE_S = 0.02
LONGEST_PAUSE_S = 0.5
MOST_LOGGED = 20

log = structlog.get_logger(__name__)


class RouteWriter:
    """Applies what is in the database now. A caller that waited for another writer may find its change applied already.

    In a process one task at a time waits for the database's writer lock: a hundred rollouts that shift traffic must not
    hold a hundred connections. The lock is not held while instances get healthy: a caller that needs one which is not
    ready waits without the lock and tries again, so that other routes, above all those of rollbacks, are live in
    milliseconds. A row that the router rejects is left out: only its own deployment fails.
    """

    def __init__(self, sessions: Sessions, router: Router) -> None:
        self._sessions = sessions
        self._router = router
        self._turn = asyncio.Lock()
        self._reads = 0
        self._read_applied = 0
        self._applied = 0
        self._held_back: frozenset[str] = frozenset()
        self._rejected: tuple[Rejection, ...] = ()

    async def apply(self, *, needing: Collection[str] = ()) -> int:
        """Apply the newest table, with all that was committed before this call.

        Args:
            needing: releases that must be able to take traffic; they are waited for, `PATIENCE_S` at most.

        Returns:
            The generation of the table.

        Raises:
            TerminalError: ROUTE_REJECTED, the router rejects what the caller needs.
            HeldBackError: one of the releases that the caller needs cannot take traffic.
        """
        began, pause, read = time.monotonic(), FIRST_PAUSE_S, self._reads
        while True:
            waited = time.monotonic() - began
            readiness = WHOLE if waited < PATIENCE_FOR_ALL_S else SOME
            applied, missing = await self._in_turn(read, needing, readiness)
            if not missing:
                return applied
            if waited >= PATIENCE_S:
                raise HeldBackError(sorted(missing))
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    async def _in_turn(
        self, read: int, needing: Collection[str], readiness: ReadinessRule
    ) -> tuple[int, frozenset[str]]:
        """The applied table, and the needed releases that were held back.

        Args:
            read: how often the table had been read when the caller came: what was read later has the caller's change.
                Generations do not tell: those of a restored database begin again at a lower one.
            needing: as for `apply`.
            readiness: as for the router.
        """
        async with self._turn:
            # A release that was held back may be able to take traffic by now: try again for callers that need it.
            if self._read_applied <= read or self._held_back.intersection(needing):
                self._applied = await self._apply_newest(readiness)
            rejection = rejection_of(self._rejected, needing)
            if rejection is not None:
                raise TerminalError(rejection.message, code=ErrorCode.ROUTE_REJECTED)
            return self._applied, self._held_back.intersection(needing)

    async def _apply_newest(self, readiness: ReadinessRule) -> int:
        async with transaction(self._sessions) as session:
            routes = RoutingRepository(session)
            await routes.writer_lock()
            over = await self._router.mark()  # before the record is read: another process may overtake this one
            self._reads += 1
            table = await routes.table()
            try:
                rejected = await self._router.apply(table, readiness=readiness, over=over)
                self._held_back = frozenset()  # not earlier: while the router is away nothing changes
            except HeldBackError as error:
                self._held_back = error.release_ids
                rejected = error.rejected
                log.info("routes.held_back", release_ids=sorted(error.release_ids))
            self._note(rejected)
            self._read_applied = self._reads
            return table.generation

    def _note(self, rejected: Sequence[Rejection]) -> None:
        """Log each rejection when it is new, not with every table."""
        news = [one for one in rejected if one not in self._rejected]
        self._rejected = tuple(rejected)
        for one in news[:MOST_LOGGED]:
            log.error("routes.rejected", release_ids=sorted(one.release_ids), host=one.host, reason=one.message)
        if len(news) > MOST_LOGGED:
            log.error("routes.rejected_more", rows=len(news) - MOST_LOGGED)
