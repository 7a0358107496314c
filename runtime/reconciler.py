"""The loop of every reconciler: compare what is wanted with what is, mend the difference, rest, and again.

A reconciler names itself, says how often it looks and how long one pass may take, and implements `reconcile`. All else
is here: wake-ups, pauses that grow while passes fail, the limit on a pass, a log line and a metric for each, the end.
"""

import asyncio
import random
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import ClassVar, Final, Protocol

from domain.errors import DeliveryError
from runtime.logging import get_logger
from runtime.telemetry import passes

log = get_logger(__name__)

# After a pass that failed; twice as long after each further one, up to the interval.
FIRST_BACKOFF_S: Final = 1.0


class Outcome(StrEnum):
    """What became of a pass; a label of its metric."""

    MENDED = "mended"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    TIMED_OUT = "timed_out"


class Wakeup(Protocol):
    """Ends a rest early. `storage.listen.Listener` is one: a NOTIFY of PostgreSQL."""

    async def wait(self, seconds: float) -> bool:
        """Rest for so long at most; True: something was changed meanwhile."""
        ...


class Timer:
    """Only the time ends a rest."""

    async def wait(self, seconds: float) -> bool:
        await asyncio.sleep(seconds)
        return False


class Flag:
    """An event of this process ends a rest."""

    def __init__(self, event: asyncio.Event) -> None:
        self._event = event

    async def wait(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True


class Reconciler(ABC):
    """One loop. A pass must be safe to repeat, and to be cancelled anywhere: what it has committed stays.

    Args:
        wakeup: ends the rest between two passes early; None: nothing does.
        timer: rests before the first pass and after those that failed.
        clock: seconds, for durations.
        chance: from 0 to 1, for the jitter.
    """

    name: ClassVar[str]
    """In the log and as a label of the metrics."""
    interval_s: ClassVar[float]
    """Seconds from the end of a pass to the next one."""
    limit_s: ClassVar[float] = 120.0
    """Seconds of one pass. One that takes longer is ended; the next begins after a pause."""
    jitter: ClassVar[float] = 0.1
    """Each rest is shorter by up to this share, so that workers that started together do not all look at once."""
    begins_at_once: ClassVar[bool] = True
    """False: the first pass comes after an interval."""
    repeats_failures: ClassVar[bool] = True
    """False: of passes that fail in a row only the first has a log line."""

    def __init__(
        self,
        wakeup: Wakeup | None = None,
        *,
        timer: Wakeup | None = None,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._timer = timer or Timer()
        self._wakeup = wakeup or self._timer
        self._clock = clock
        self._chance = chance
        self._failures = 0
        self.woken = True
        """Whether something rang since the last pass that went well; before the first one it may have."""
        self.more = False
        """Set by a pass that left something due: the next one begins at once."""
        self.is_over = False
        """Set by a pass after which there will be nothing to do any more: it is the last one."""

    @abstractmethod
    async def reconcile(self) -> int:
        """One pass; returns how many differences it mended.

        Raises:
            DeliveryError: what it needs does not answer. Whatever it raises is logged, and it is tried again.
        """

    async def rest(self, seconds: float) -> bool:
        """Between two passes; True: something rang."""
        return await self._wakeup.wait(seconds)

    async def close(self) -> None:  # noqa: B027 - most have nothing to end
        """End what passes began and did not wait for."""

    async def run(self) -> None:
        """Pass after pass, until cancelled."""
        try:
            if not self.begins_at_once:
                await self._timer.wait(self._spread(self.interval_s))
            while not self.is_over:
                outcome = await self.run_once()
                if outcome in (Outcome.FAILED, Outcome.TIMED_OUT):
                    await self._back_off(outcome)
                elif not self.is_over and not self.more:
                    await self._rest()
        finally:
            await self.close()

    async def run_once(self) -> Outcome:
        """One pass within its limit, with a log line and a metric. Raises nothing."""
        self.more = False
        began = self._clock()
        mended, fault = 0, None
        limit = asyncio.timeout(self.limit_s)
        try:
            async with limit:
                mended = int(await self.reconcile())
            outcome = Outcome.MENDED if mended else Outcome.UNCHANGED
        except (Exception, asyncio.CancelledError) as error:  # it is logged, and the next pass comes
            if isinstance(error, asyncio.CancelledError) and _is_cancelled():
                raise
            outcome, fault = Outcome.TIMED_OUT if limit.expired() else Outcome.FAILED, error
        seconds = self._clock() - began
        if fault is None:
            self._tell_done(mended, seconds)
        else:
            self._tell_failed(outcome, fault)
        passes.record(self.name, outcome, seconds, mended)
        return outcome

    async def _rest(self) -> None:
        try:
            self.woken = await self.rest(self._spread(self.interval_s))
        except Exception as error:  # noqa: BLE001 - a broken wake-up ends no loop
            self._tell_failed(Outcome.FAILED, error)
            await self._back_off(Outcome.FAILED)

    async def _back_off(self, outcome: Outcome) -> None:
        """Rest after a pass that failed. No wake-up ends this rest: what is at fault may ring all the time.

        A failed pass is repeated soon, for what it needs may be back in a second. One that timed out kept something
        busy (the database, a disk) for its whole limit, and is repeated after as long, at most after the interval.
        """
        longest = FIRST_BACKOFF_S * 2 ** min(self._failures - 1, 20)
        if outcome is Outcome.TIMED_OUT:
            longest = max(longest, self.limit_s)
        await self._timer.wait(self._spread(min(self.interval_s, longest)))

    def _spread(self, seconds: float) -> float:
        return seconds * (1 - self.jitter * self._chance())

    def _tell_done(self, mended: int, seconds: float) -> None:
        failures, self._failures = self._failures, 0
        if failures:
            log.info("reconciler.recovered", reconciler=self.name, failures=failures, mended=mended)
        elif mended:
            log.info("reconciler.mended", reconciler=self.name, mended=mended, seconds=round(seconds, 3))

    def _tell_failed(self, outcome: Outcome, error: BaseException) -> None:
        self._failures += 1
        about = {"reconciler": self.name, "failures": self._failures}
        if outcome is Outcome.TIMED_OUT:
            log.error("reconciler.timed_out", limit_s=self.limit_s, **about)
        elif not isinstance(error, DeliveryError | OSError):
            log.error("reconciler.fault", exc_info=error, **about)
        elif self.repeats_failures or self._failures == 1:
            log.warning("reconciler.failed", reason=str(error) or type(error).__name__, **about)


def _is_cancelled() -> bool:
    """Whether the loop itself is cancelled, and not only what a pass waited for."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


@asynccontextmanager
async def running(*reconcilers: Reconciler) -> AsyncIterator[None]:
    """Each in a task of its own; at the end all are cancelled and waited for."""
    tasks = [asyncio.create_task(one.run(), name=one.name) for one in reconcilers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
