"""First attempts: from a committed event to the request, at once, on any available worker.

One loop records results, fans out committed events, and claims due deliveries: many rows at once, each of the three in
its own transaction, so that a timeout of one does not roll back the others. The requests run concurrently. A worker
that dies loses its claims when their leases end; others take over.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from domain.errors import DeliveryError
from events.delivery_attempt import Courier, record
from events.duty_cycle import Pace
from events.portion import Portion
from storage.engine import Sessions, transaction
from storage.listen import Listener
from storage.repositories.webhook_claims import Claim, Recorded, WebhookClaims
from storage.repositories.webhook_fanout import WebhookFanOut

log = structlog.get_logger(__name__)

FAN_OUT_BATCH = 500
RECORD_BATCH = 500
MOST_UNDER_WAY = 500
# Attempts in progress per endpoint, and for an endpoint whose attempts all fail.
PER_ENDPOINT = 32
PER_FAILING_ENDPOINT = 2
SWEEP_EVERY_S = 1.0
# Seconds within which arriving work is handled together.
GATHER_S = 0.01
PAUSE_AFTER_FAULT_S = 1.0
# How far into an endpoint's queue a wake-up looks. The whole queue is checked every second, or less often if many
# deliveries wait behind retried ones (seconds for 200,000 deliveries), so that it takes only this part of the time.
WINDOW = 500
WHOLE_SHARE = 0.05
# Seconds that a stopping worker waits for responses.
GRACE_S = 5.0


class Dispatcher:
    """Runs until cancelled.

    Args:
        sessions: of the database.
        courier: makes the attempts.
        listener: on the events' channel.
        handover: set when a delivery has failed, for the retry scheduler.
    """

    def __init__(self, sessions: Sessions, courier: Courier, listener: Listener, handover: asyncio.Event) -> None:
        self._sessions = sessions
        self._courier = courier
        self._listener = listener
        self._handover = handover
        self._under_way: dict[asyncio.Task[None], UUID] = {}
        self._results: list[Recorded] = []
        self._wake = asyncio.Event()
        self._wake.set()
        self._news = True
        self._swept_at = 0.0
        self._whole = Pace(SWEEP_EVERY_S, WHOLE_SHARE)
        self._fanned_out = Portion(FAN_OUT_BATCH)
        self._recorded = Portion(RECORD_BATCH)

    async def run(self) -> None:
        """Work, then wait for an event, a response or the next sweep, in a loop."""
        listening = asyncio.create_task(self._listen())
        try:
            while True:
                await self._turn()
        finally:
            listening.cancel()
            await self._finish()

    async def _finish(self) -> None:
        """Let attempts in progress finish and store them; unfinished ones are retried by another process."""
        if self._under_way:
            _, late = await asyncio.wait(self._under_way, timeout=GRACE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        if self._results:
            with suppress(DeliveryError):
                async with transaction(self._sessions) as session:
                    await record(session, self._results)

    async def _turn(self) -> None:
        await self._woken()
        clock = asyncio.get_running_loop().time()
        sweep = clock - self._swept_at >= SWEEP_EVERY_S
        self._swept_at = clock if sweep else self._swept_at
        self._wake.clear()
        try:
            await self._work(sweep=sweep)
        except DeliveryError as error:
            log.warning("webhooks.paused", reason=error.message)
            await asyncio.sleep(PAUSE_AFTER_FAULT_S)
        except Exception:
            log.exception("webhooks.fault")
            await asyncio.sleep(PAUSE_AFTER_FAULT_S)

    async def _woken(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(SWEEP_EVERY_S):
                await self._wake.wait()
            await asyncio.sleep(GATHER_S)

    async def _listen(self) -> None:
        while True:
            if await self._listener.wait(SWEEP_EVERY_S):
                self._news = True
                self._wake.set()

    async def _work(self, *, sweep: bool) -> None:
        """Store finished attempts, fan out new events, claim due deliveries."""
        while self._results:
            await self._record(self._results[: self._recorded.size])
        if self._news or sweep:
            await self._fan_out()
        async with transaction(self._sessions) as session:
            claims = await self._claim(session)
        for claim in claims:
            task = asyncio.create_task(self._attempt(claim))
            self._under_way[task] = claim.endpoint_id
            task.add_done_callback(self._ended)

    async def _fan_out(self) -> None:
        self._news = True  # until it is done
        with self._fanned_out.tried() as limit:
            async with transaction(self._sessions) as session:
                made = await WebhookFanOut(session).fan_out(limit=limit)
        self._news = made == limit
        if self._news:
            self._wake.set()

    async def _record(self, results: Sequence[Recorded]) -> None:
        try:
            with self._recorded.tried():
                async with transaction(self._sessions) as session:
                    await record(session, results)
        except DeliveryError:
            raise
        except Exception:
            # A result that cannot be written must not block those of all others forever.
            await self._record_apart(results)
            raise
        del self._results[: len(results)]
        if any(result.next_attempt_at for result in results):
            self._handover.set()

    async def _record_apart(self, results: Sequence[Recorded]) -> None:
        """Write each in its own transaction; a failed one is dropped: its lease ends, then it is attempted again."""
        for result in results:
            try:
                async with transaction(self._sessions) as session:
                    await record(session, [result])
            except DeliveryError:
                raise
            except Exception:
                log.exception("webhooks.result_lost", delivery_id=str(result.claim.delivery_id))
            self._results.remove(result)

    async def _claim(self, session: AsyncSession) -> list[Claim]:
        # Half of the remaining slots, in total and per organization: slow endpoints, however many, leave room for
        # others.
        free = (MOST_UNDER_WAY - len(self._under_way)) // 2
        if free <= 0:
            return []
        clock = asyncio.get_running_loop().time
        began = clock()
        whole = self._whole.is_due(began)
        try:
            return await WebhookClaims(session).claim(
                Counter(self._under_way.values()),
                most=PER_ENDPOINT,
                few=PER_FAILING_ENDPOINT,
                free=free,
                window=None if whole else WINDOW,
            )
        finally:
            if whole:
                self._whole.done(began, clock())

    async def _attempt(self, claim: Claim) -> None:
        self._results.append(await self._courier.attempt(claim))

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._under_way[task]
        if not task.cancelled() and (fault := task.exception()):
            # Its lease ends, then it is attempted again.
            log.error("webhooks.attempt_fault", exc_info=fault)
        self._wake.set()
