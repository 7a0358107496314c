"""Ends what a killed shim left behind. The caller holds the shim's lock, so nothing of it can be alive and wanted."""

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

from drivers.shim import cgroup, proc
from drivers.shim.spec import COOKIE

_DEADLINE_S = 10.0
_SHIM = b"/drivers/shim/shim.py"


def is_settled(record: dict[str, Any] | None, ended: dict[str, Any] | None) -> bool:
    """Whether nothing of an earlier shim can be there: it told its end, behind that of its tree, or was before a boot.

    To look through all processes of the machine takes longer than to start one, and at a start of the stack every
    instance would do so.
    """
    return record is not None and (ended is not None or record.get("boot_id") != proc.boot_id())


def end(cookie: str, record: dict[str, Any] | None) -> None:
    """Kills every process that carries the cookie or belongs to the recorded session, and waits until they are gone.

    Raises:
        TimeoutError: something does not die (it hangs in the kernel, or belongs to another user).
    """
    deadline = time.monotonic() + _DEADLINE_S
    while found := find(cookie, record):
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes {found} were sent SIGKILL and are still there")
        for pid in found:
            kill(pid, signal.SIGKILL)
        time.sleep(0.01)
    cgroup.remove(cgroup.named(cookie))


def find(cookie: str, record: dict[str, Any] | None) -> list[int]:
    """Ids of those processes.

    Whoever knows or guesses the cookie may put it into an environment of its own: what another living shim keeps is
    nobody's leftover. (Isolated code is below its shim always; the kernel ends it with its sandbox.)
    """
    entry = f"{COOKIE}={cookie}".encode()
    session = _recorded_session(record)
    shims = LivingShims()
    alive = (process for process in map(proc.read, proc.everyone()) if process and process.state not in "ZX")
    return [
        process.pid
        for process in alive
        if process.session == session or (proc.has_in_environment(process.pid, entry) and not shims.keep(process.pid))
    ]


class LivingShims:
    """Which processes are below a living shim, in one look. Shims above ourselves do not count: below them all is."""

    def __init__(self) -> None:
        self._kept: dict[int, bool] = {}
        for pid in _line(os.getpid()):
            self._kept[pid] = False

    def keep(self, pid: int) -> bool:
        """Whether one of them keeps the process."""
        path: list[int] = []
        kept = False
        for each in _line(pid):
            if each in self._kept:
                kept = self._kept[each]
                break
            path.append(each)
            if each != pid and _is_shim(each):
                kept = True
                break
        self._kept.update(dict.fromkeys(path, kept))
        return kept


def _line(pid: int) -> Iterator[int]:
    """The process, its parent, and so on."""
    seen: set[int] = set()  # numbers may be given anew while we look
    while pid and pid not in seen:
        seen.add(pid)
        yield pid
        found = proc.read(pid)
        pid = found.parent if found else 0


def _is_shim(pid: int) -> bool:
    """One that was started by an engine: what a sandbox holds has processes of its own namespace, and is none."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read(4096).split(b"\0")
        return (
            words[1:3] == [b"-I", b"-S"]
            and words[3].endswith(_SHIM)
            and os.stat(f"/proc/{pid}/ns/pid").st_ino == os.stat("/proc/self/ns/pid").st_ino
        )
    except (OSError, IndexError):
        return False


def kill(pid: int, number: signal.Signals) -> None:
    """Sends a signal; a process that is gone already is fine."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def _recorded_session(record: dict[str, Any] | None) -> int | None:
    """The session the dead shim's child led, unless its number was given to a stranger since, or after a boot."""
    if not record or not record.get("child_pid") or record.get("boot_id") != proc.boot_id():
        return None
    leader = proc.read(record["child_pid"])
    if leader and leader.start_time != record["child_start_time"]:
        return None
    return int(record["pgid"])
