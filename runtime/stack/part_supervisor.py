"""Keeps one part running: starts it, waits for it, starts it again when it dies."""

import time
from collections.abc import Callable
from pathlib import Path

from domain.errors import DeliveryError, DependencyError
from runtime.logging import get_logger
from runtime.stack import logfile, ports
from runtime.stack.part import Part
from runtime.stack.process import Process

log = get_logger(__name__)

READY_LIMIT_S = 180.0  # a machine that is busy with services coming back is slow
_STARTS = 3  # attempts to become ready during `up`
_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.1, 10.0
_RETRY_S = 2.0  # when it could not be started at all
_STEADY_S = 30.0  # having lived so long, a part starts with a clean record of failures


class PartFailedError(Exception):
    """A part did not come up; the message says which, why, and how its log ends."""


class PartSupervisor:
    """One part and its process."""

    def __init__(
        self, part: Part, record: Path, clock: Callable[[], float] = time.monotonic, *, mark: str = ""
    ) -> None:
        self.part = part
        self.process = Process(part.command(), record, mark=mark)
        self.adopted = False
        self.ready_after_s: float | None = None
        self._clock = clock
        self._failures = 0
        self._started_at = 0.0
        self._start_at: float | None = None
        self._launched_at = self._awaited_from = clock()
        self._reached = False
        self.trouble: str | None = None
        """Why it could not be started again when that was last tried; for people."""

    def launch(self) -> None:
        """Adopt the one that is still there, or start one."""
        self._launched_at = self._awaited_from = self._clock()
        if self.try_adopt():
            self.adopted = True
            return
        self.part.prepare()
        self._start()

    def count_from_now(self) -> None:
        """What it had to wait for until now is not held against it."""
        self._awaited_from = self._clock()

    def try_adopt(self) -> bool:
        """Take over one that outlived its supervisor, if it may, is what we would start, and works."""
        if not self.part.adoptable or not self.process.adopt():
            return False
        self._started_at = self._clock()
        return self.part.probe(self.process.pid or 0) is None

    def check_ready(self) -> bool:
        """Whether it became ready; called again and again during `up`.

        Raises:
            PartFailedError: it died too often, or took too long.
        """
        if self.ready_after_s is not None:
            return True
        died = self.process.exit_reason()
        waited = self._clock() - self._awaited_from
        if died is not None:
            self._failures += 1
            if self._failures >= _STARTS:
                raise self._failed(f"it {died} {self._failures} times")
            self._start()
            return False
        why_not = self.part.probe(self.process.pid or 0)
        if why_not is None:
            self.part.settle()
            self.ready_after_s = self._clock() - self._launched_at
            self._reached = True
            self._failures = 0
            return True
        if waited > READY_LIMIT_S:
            raise self._failed(f"it was not ready after {waited:.0f} s: {why_not}")
        return False

    def tend(self) -> None:
        """Start it again when it died and its delay is over; called several times a second after `up`."""
        now = self._clock()
        if self._start_at is not None:
            if now >= self._start_at:
                self._restart()
            return
        died = self.process.exit_reason()
        if died is None:
            self._mind_sockets()
            return
        if now - self._started_at > _STEADY_S:
            self._failures = 0
        delay = min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2**self._failures)
        self._failures = min(self._failures + 1, 20)
        self._start_at = now + delay
        log.warning("part.died", part=self.part.name, how=died, restart_in_s=round(delay, 1))

    def stop(self) -> None:
        """End it, however far it came, and what does not end with it."""
        self._start_at = None
        self.process.stop()
        try:
            self.process.end_remains()
            self.part.clear()
        except (OSError, DeliveryError) as error:
            log.warning("part.remains", part=self.part.name, error=str(error))

    def _mind_sockets(self) -> None:
        """End a part whose sockets were removed (/tmp was cleared); it is started again as one that died."""
        if all(path.exists() for path in self.part.sockets):
            self._reached = True
        elif self._reached:
            self._reached = False
            log.warning("part.sockets.lost", part=self.part.name, sockets=[str(path) for path in self.part.sockets])
            self.process.stop()

    def _restart(self) -> None:
        self._start_at = None
        try:
            self._check_ports()
            self._start()
        except (OSError, DeliveryError) as error:
            self._start_at = self._clock() + _RETRY_S
            if self.trouble != str(error):
                log.exception("part.restart.failed", part=self.part.name)
            self.trouble = str(error)
            return
        self.trouble = None
        log.info("part.restarted", part=self.part.name, pid=self.process.pid)

    def _check_ports(self) -> None:
        """The others know its ports by heart, so it gets no others before the next start of the whole stack."""
        self.process.end_remains()
        for port in self.part.ports:
            if not ports.is_free(port):
                raise DependencyError(
                    f"cannot start again: {ports.holder(port)} has taken its port {port}. End that, or stop and start "
                    "the stack, which then takes other ports"
                )

    def _start(self) -> None:
        self.process.end_remains()
        self.part.clear()
        self._started_at = self._clock()
        self._reached = False
        self.process.start()

    def _failed(self, why: str) -> PartFailedError:
        path = self.process.command.log
        tail = logfile.tail(path) or "(empty)"
        return PartFailedError(f"{self.part.name} did not come up: {why}\nThe end of {path}:\n{tail}")
