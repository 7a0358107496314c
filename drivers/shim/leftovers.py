"""Ends what a killed shim left behind. The caller holds the shim's lock, so all of it is unwanted."""

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
    """Whether an earlier shim left nothing: it recorded its end, after that of its tree, or ran before the last boot.

    To look through all processes of the machine takes longer than to start one, and at a start of the stack every
    instance would do so.
    """
    return record is not None and (ended is not None or record.get("boot_id") != proc.boot_id())


def end(cookie: str, record: dict[str, Any] | None) -> None:
    """Kill every process that has the cookie or belongs to the recorded session, and wait until they are gone.

    Raises:
        TimeoutError: a process does not die (it hangs in the kernel, or belongs to another user).
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

    Any code may put the cookie into its own environment: processes below another living shim are never leftovers.
    (Isolated code is below its shim always; the kernel ends it with its sandbox.)
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
    """Finds processes below a living shim, in one scan. Our own ancestors do not count: everything is below them."""

    def __init__(self) -> None:
        self._kept: dict[int, bool] = {}
        for pid in _line(os.getpid()):
            self._kept[pid] = False

    def keep(self, pid: int) -> bool:
        """Whether one of the living shims is above the process."""
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
    seen: set[int] = set()  # ids may be reused during the scan
    while pid and pid not in seen:
        seen.add(pid)
        yield pid
        found = proc.read(pid)
        pid = found.parent if found else 0


def _is_shim(pid: int) -> bool:
    """Whether it is a shim started by an engine. A sandbox's processes are in another namespace, so none of them is."""
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
    """Send a signal; a process that is gone already is fine."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def _recorded_session(record: dict[str, Any] | None) -> int | None:
    """The session of the dead shim's child, unless its id was reused since, or the machine was rebooted."""
    if not record or not record.get("child_pid") or record.get("boot_id") != proc.boot_id():
        return None
    leader = proc.read(record["child_pid"])
    if leader and leader.start_time != record["child_start_time"]:
        return None
    return int(record["pgid"])
