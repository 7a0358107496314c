"""What is left of a part that died: children that outlived it and still hold its port, its locks, its shared memory.

A frozen child (SIGSTOP, a debugger) does not notice that its parent is gone, and neither signals nor time end it. So
whatever surely belonged to the dead part gets SIGKILL before the part is started again.
"""

import time
from collections.abc import Callable
from contextlib import suppress

import psutil

from domain.errors import DependencyError
from runtime.logging import get_logger

log = get_logger(__name__)

MARK = "DELIVERY_PART"
"""A variable in the environment of every part, which its children inherit. The shims of builds and services do not."""
_LIMIT_S = 10.0
_POLL_S = 0.02
Belongs = Callable[[psutil.Process], bool]


def marked(mark: str) -> Belongs:
    """Whether a process was started with this mark, or by a process that was."""
    return lambda process: process.environ().get(MARK) == mark


def end(name: str, belongs: Belongs) -> list[int]:
    """Kill what belongs to the part and wait until all of it is gone; returns the pids.

    A pid is never mistaken for another process's: psutil compares start times before it sends a signal.

    Raises:
        DependencyError: something survives SIGKILL.
    """
    ended: set[int] = set()
    deadline = time.monotonic() + _LIMIT_S
    while left := found(belongs):
        if time.monotonic() > deadline:
            pids = ", ".join(str(process.pid) for process in left)
            raise DependencyError(
                f"processes {pids} are left of an earlier {name} and do not end: they hang in the kernel, or belong to "
                "another user. End them, or restart the machine"
            )
        for process in left:
            ended.add(process.pid)
            with suppress(psutil.Error):
                process.kill()
        time.sleep(_POLL_S)
    if ended:
        log.warning("part.remains.ended", part=name, pids=sorted(ended))
    return sorted(ended)


def found(belongs: Belongs) -> list[psutil.Process]:
    """All processes of that kind that run now."""
    return [process for process in psutil.process_iter() if _alive(process) and _is(process, belongs)]


def _alive(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    return False


def _is(process: psutil.Process, belongs: Belongs) -> bool:
    """What may not be looked at, or is gone by now, is not ours."""
    with suppress(psutil.Error, OSError):
        return belongs(process)
    return False
