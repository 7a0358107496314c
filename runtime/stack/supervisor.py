"""The supervisor: brings the parts up in order, keeps them up, takes them down in reverse."""

import signal
import sys
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from types import FrameType

from runtime.encryption import encryption_key_file, ensure_encryption_key
from runtime.keys import ensure_key, key_file
from runtime.logging import get_logger
from runtime.settings import Settings
from runtime.stack import logfile, ports
from runtime.stack.composition import PORTS_OF, Composition
from runtime.stack.errand import Errand
from runtime.stack.layout import Layout
from runtime.stack.orphans import end_leftovers
from runtime.stack.part import Part
from runtime.stack.part_supervisor import PartSupervisor
from runtime.stack.process import Command
from runtime.stack.telling import ReturnTeller

log = get_logger(__name__)

_POLL_S = 0.1
_ROTATE_EVERY_S = 5.0
_MIGRATIONS_LIMIT_S = 120.0
_TOLD_WITHIN_S = 5.0  # the worker tells how many services serve a moment after it is ready
Say = Callable[[str], None]


class Supervisor:
    """One stack on one data folder; the caller holds the folder's lock.

    Args:
        only: names of the parts wanted; empty: all.
        say: gets one line for people at a time.
    """

    def __init__(self, settings: Settings, layout: Layout, *, only: Collection[str] = (), say: Say = print) -> None:
        self._settings = settings
        self._layout = layout
        self._only = frozenset(only)
        self._say = say
        self._supervisors: list[PartSupervisor] = []
        self._signal: int | None = None
        self._return = ReturnTeller(layout.services, say)
        self.ports: dict[str, int] = {}

    def listen(self) -> None:
        """Stop on Ctrl-C, SIGTERM, and SIGHUP unless that is ignored (nohup)."""
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(signum) is not signal.SIG_IGN or signum is not signal.SIGHUP:
                signal.signal(signum, self._on_signal)

    def up(self) -> bool:
        """Bring everything up; False when asked to stop meanwhile.

        Raises:
            PartFailedError: a part did not come up.
            DeliveryError: something it needs is missing.
            OSError: a file or a program cannot be used.
        """
        started = time.monotonic()
        ensure_key(key_file(self._settings))
        ensure_encryption_key(encryption_key_file(self._settings))
        composition = self._compose()
        servers = self._launch(composition.servers)
        # They read their code meanwhile, which takes as long as all before them, and then wait for the schema.
        services = self._launch(composition.services)
        if not self._await(servers):
            return False
        if self._wants("migrations") and not self._run_once("migrations", composition.migrations()):
            return False
        # Beside them: the services of users wait for the worker, and the first admin for a person.
        if not self._bootstrap(composition) or not self._await(services):
            return False
        self._say(f"ready after {time.monotonic() - started:.1f} s{self._return.first(self._told_within_s)}")
        return True

    @property
    def _told_within_s(self) -> float:
        return _TOLD_WITHIN_S if self._wants("worker") else 0.0

    def _bootstrap(self, composition: Composition) -> bool:
        """The first admin; False when asked to stop meanwhile."""
        if not self._wants("bootstrap"):
            return True
        # Output that goes into a file or a pipe is stored, and a password must not be.
        told = sys.stdout.isatty()
        return self._run_once("bootstrap", composition.bootstrap(told=told), tell=True)

    def keep(self) -> None:
        """Tend the parts until asked to stop."""
        rotated = time.monotonic()
        while not self._stopping:
            time.sleep(_POLL_S)
            for supervisor in self._supervisors:
                self._tend(supervisor)
            self._return.tell()
            if time.monotonic() - rotated > _ROTATE_EVERY_S:
                rotated = time.monotonic()
                rotate_logs(self._layout.logs)

    def _tend(self, supervisor: PartSupervisor) -> None:
        before = supervisor.trouble
        supervisor.tend()
        if supervisor.trouble != before:
            self._say(f"{supervisor.part.name:<10} {supervisor.trouble or 'started again'}")

    def down(self) -> None:
        """Stop every part in reverse order, each within the limits of its command."""
        log.info("stack.stopping", signal=signal.Signals(self._signal).name if self._signal else None)
        for supervisor in reversed(self._supervisors):
            began = time.monotonic()
            supervisor.stop()
            self._say(f"{supervisor.part.name:<10} stopped in {time.monotonic() - began:.1f} s")
        self._supervisors.clear()

    def _on_signal(self, signum: int, _: FrameType | None) -> None:
        # Nothing but this: the handler interrupts any line, also one that holds the lock of an event or of a log.
        self._signal = signum

    @property
    def _stopping(self) -> bool:
        return self._signal is not None

    def _wants(self, name: str) -> bool:
        return not self._only or name in self._only

    def _compose(self) -> Composition:
        """Settle leftovers first: what stays keeps its ports, all others are checked or chosen anew."""
        path = self._layout.data / "ports.json"
        remembered = ports.remembered(path)
        staying: set[str] = set()
        if remembered:
            composition = Composition(self._settings, self._layout, remembered, self._say)
            staying = {part.name for part in composition.servers if self._wants(part.name) and self._stays(part)}
        end_leftovers(self._layout, keep=staying)
        held = [port for name in staying for port in PORTS_OF.get(name, ())]
        self.ports = ports.choose(path, _fixed(self._settings), held)
        return Composition(self._settings, self._layout, self.ports, self._say)

    def _stays(self, part: Part) -> bool:
        return self._keeper(part).try_adopt()

    def _keeper(self, part: Part) -> PartSupervisor:
        return PartSupervisor(part, self._layout.record(part.name), mark=self._layout.mark(part.name))

    def _launch(self, parts: list[Part]) -> list[PartSupervisor]:
        wave = [self._keeper(part) for part in parts if self._wants(part.name)]
        for supervisor in wave:
            self._supervisors.append(supervisor)
            self._say(f"{supervisor.part.name:<10} starting")
            supervisor.launch()
        return wave

    def _await(self, wave: list[PartSupervisor]) -> bool:
        """Wait until all are ready; False when asked to stop meanwhile."""
        for supervisor in wave:
            supervisor.count_from_now()
        waiting = list(wave)
        while waiting and not self._stopping:
            waiting = [supervisor for supervisor in waiting if not self._became_ready(supervisor)]
            time.sleep(_POLL_S / 2 if waiting else 0)
        return not self._stopping

    def _became_ready(self, supervisor: PartSupervisor) -> bool:
        if not supervisor.check_ready():
            return False
        how = "still running" if supervisor.adopted else f"ready in {supervisor.ready_after_s:.1f} s"
        self._say(f"{supervisor.part.name:<10} {how}")
        return True

    def _run_once(self, name: str, command: Command, *, tell: bool = False) -> bool:
        """Run a command to its end; False when asked to stop meanwhile. `tell`: its output is for people."""
        began = time.monotonic()
        self._say(f"{name:<10} running")
        errand = Errand(name, command, mark=self._layout.mark(name), limit_s=_MIGRATIONS_LIMIT_S, tell=tell)
        lines = errand.run(lambda: self._stopping)
        for line in lines or ():
            self._say(line)
        if lines is not None:
            self._say(f"{name:<10} done in {time.monotonic() - began:.1f} s")
        return lines is not None


def rotate_logs(folder: Path) -> None:
    """Keep every log small; a full disk must not stop the supervisor."""
    for path in folder.glob("*.log"):
        with suppress(OSError):
            logfile.rotate(path)


def _fixed(settings: Settings) -> dict[str, int]:
    """Ports that were set on purpose; the defaults are production's."""
    given = {"api": "api_port", "ingress": "ingress_port"}
    given |= {"api_internal": "api_internal_port", "worker_internal": "worker_internal_port"}
    return {name: getattr(settings, field) for name, field in given.items() if field in settings.model_fields_set}
