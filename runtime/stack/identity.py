"""Which process a recorded pid was: pids are reused, so a pid alone proves nothing."""

import json
import os
import signal
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from domain.stored import known_to
from runtime.files import write_whole

_STATE, _STARTED = 0, 19  # fields 3 and 22 of proc(5) stat, counted after the command's closing bracket


@dataclass(frozen=True)
class Identity:
    """A process by pid, start time (clock ticks since boot) and boot id, and a digest of how it was started."""

    pid: int
    started: int
    boot: str
    command: str = ""

    @classmethod
    def of(cls, pid: int, command: str = "") -> Self | None:
        """The identity of a process running now; None when there is none (a zombie is none)."""
        fields = _stat(pid)
        if fields is None or fields[_STATE] in "ZX":
            return None
        return cls(pid, int(fields[_STARTED]), _boot_id(), command)

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """The identity recorded in a file; None when there is no usable record."""
        try:
            return cls(**known_to(cls, json.loads(path.read_text())))
        except (OSError, ValueError, TypeError):
            return None

    def save(self, path: Path) -> None:
        """Record it; a reader never sees half a file."""
        write_whole(path, json.dumps(asdict(self)), sync=False)

    def alive(self) -> bool:
        """Whether that very process still runs."""
        now = Identity.of(self.pid)
        return now is not None and (now.started, now.boot) == (self.started, self.boot)

    def send(self, signum: signal.Signals, *, group: bool = False) -> None:
        """Signal the process (or the group it leads), never another one that got its pid."""
        if not self.alive():
            return
        with suppress(ProcessLookupError):
            if group and os.getpgid(self.pid) == self.pid:
                os.killpg(self.pid, signum)
            else:
                os.kill(self.pid, signum)


def _stat(pid: int) -> list[str] | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
