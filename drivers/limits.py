"""Kernel limits of this machine that are too low, in words for the operator: checked once, when a worker starts."""

from pathlib import Path

from drivers.shim import cgroup

_WORDS = {"pids": "processes", "memory": "memory", "cpu": "processors"}
# A sandbox uses a sixteenth of them, at most 32 (drivers/bridge/bridge.c); the router needs two.
_ENOUGH_INOTIFY, _OF_ONE, _PART = 8192, 32, 16


def missing(*, isolated: bool, inotify: Path = Path("/proc/sys/fs/inotify/max_user_instances")) -> list[str]:
    """Sentences for the operator; empty if nothing is wrong."""
    lacking = [_WORDS[name] for name in cgroup.controllers() ^ set(_WORDS)]
    found: list[str] = []
    if lacking:
        found.append(
            f"no control groups for {', '.join(sorted(lacking))}: limits of builds and instances are kept by looking "
            "at their processes, what the kernel holds for them (buffers of sockets) is not counted, and processors "
            "are not shared out; docs/operating.md says how to have them"
        )
    if isolated and (limit := _number(inotify)) and limit < _ENOUGH_INOTIFY:
        found.append(
            f"fs.inotify.max_user_instances is {limit}: {limit // max(1, min(limit // _PART, _OF_ONE))} isolated "
            "builds and instances can take all of them, and the router could not start again then; set it to "
            f"{_ENOUGH_INOTIFY} or more with sysctl"
        )
    return found


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0
