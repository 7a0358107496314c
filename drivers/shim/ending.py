"""Ends a whole process tree with signals, even one that grows faster than it can be walked."""

import os
import signal

from drivers.shim import proc
from drivers.shim.leftovers import kill


def kill_tree(tree: dict[int, int], leader: int | None, wrapper_levels: int) -> None:
    """Send SIGKILL to everything below this process.

    Groups are killed with one call each: while processes are killed one by one, a fork bomb starts others.

    Args:
        tree: process ids with their depth, as last seen.
        leader: its process group is killed first; None: it is gone already.
        wrapper_levels: number of levels at the top that are a sandbox: with the init of a PID namespace the kernel ends
            everything in it, and nothing can start there any more.
    """
    for pid, depth in sorted(tree.items(), key=lambda each: -each[1]):
        if depth <= wrapper_levels:
            kill(pid, signal.SIGKILL)
    if leader is not None:
        _kill_group(leader, signal.SIGKILL)
        if wrapper_levels:
            return  # what is left when the sandbox itself is gone is ended by the next call
    _signal_all(signal.SIGSTOP)
    _signal_all(signal.SIGKILL)


def _signal_all(number: signal.Signals) -> None:
    """Repeats while new processes appear, each group as a whole. Stopped processes keep their slots."""
    told: set[int] = set()
    groups: set[int] = set()
    while fresh := [pid for pid in proc.descendants(os.getpid()) if pid not in told]:
        for pid in fresh:
            process = proc.read(pid)
            if process is None or process.state in "ZX":
                continue
            if process.session != os.getsid(0) and process.group not in groups:
                groups.add(process.group)
                _kill_group(process.group, number)
            kill(pid, number)
        told.update(fresh)


def _kill_group(group: int, number: signal.Signals) -> None:
    """Kill all its members at once: the kernel lets none of them fork meanwhile."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return
