"""Ends a whole process tree with signals, also one that grows faster than it can be walked."""

import os
import signal

from drivers.shim import proc
from drivers.shim.leftovers import kill


def kill_tree(tree: dict[int, int], leader: int | None, wrapper_levels: int) -> None:
    """SIGKILL for everything below this process.

    What one call reaches is ended by one call: while processes are ended one by one, a fork bomb starts others.

    Args:
        tree: ids of the processes by how deep they are, as they were seen last.
        leader: whose process group goes first; None: it is gone already.
        wrapper_levels: so many levels at the top are a sandbox: with the init of a pid namespace the kernel ends
            everything in it, and lets nothing start there any more.
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
    """Again at once while new ones appear, each group as a whole. Ones that are stopped hold their places."""
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
    """All its members at one moment: the kernel lets none of them fork meanwhile."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return
