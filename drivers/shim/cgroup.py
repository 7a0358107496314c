"""A cgroup for one process tree, if the machine permits it: the kernel then enforces the limits.

Without one (no rights, no delegation) only the shim's sampling enforces them. Tried: version 2 below our own group or
its parent, if that delegates the controllers (systemd: `Delegate=yes`); version 1 below our own.
"""

import os
from collections.abc import Iterator

_MEMORY_MARGIN = 64 * 1024 * 1024
# The period of the CPU quota; a quota below the kernel's minimum is not possible.
_PERIOD_US, _LEAST_QUOTA_US = 100_000, 1000
# Limit files of each controller, of version 2 and 1: the first one that exists is written.
_LIMITS = {
    "pids": {"pids.max": "{}"},
    "memory": {"memory.max": "{}", "memory.limit_in_bytes": "{}"},
    "cpu": {"cpu.max": f"{{}} {_PERIOD_US}", "cpu.cfs_quota_us": "{}"},
}


def named(cookie: str) -> str:
    """The name of the cgroup for a cookie's processes."""
    return "delivery-" + "".join(c if c.isalnum() else "_" for c in cookie)[-200:]


class Group:
    """The cgroups of one shim; all methods do nothing if there are none.

    Args:
        name: unique on the machine.
        tasks: processes and threads at once; None: unlimited.
        memory: bytes of memory, including the page cache; None: unlimited.
        cpus: CPUs, may be fractional; None: unlimited.
    """

    def __init__(
        self, name: str, *, tasks: int | None = None, memory: int | None = None, cpus: float | None = None
    ) -> None:
        quota_us = None if cpus is None else max(_LEAST_QUOTA_US, int(cpus * _PERIOD_US))
        wanted = {
            "pids": tasks,
            "memory": memory and memory + memory // 4 + _MEMORY_MARGIN,
            "cpu": quota_us,
        }
        self._tasks = tasks
        self._folders: dict[str, str] = {}
        self._before: tuple[int, int] = (0, 0)
        self._closed_at: int | None = None
        for controller, limit in wanted.items():
            if limit is not None and (folder := _made(controller, name, limit)):
                self._folders[controller] = folder

    def enter(self) -> None:
        """Put the calling process into the cgroups; its children are born there."""
        for folder in set(self._folders.values()):
            _write(folder, "cgroup.procs", "0")

    def begin(self) -> None:
        """From now on `refused` reports about a new run, which may begin."""
        if folder := self._folders.get("pids"):
            _write(folder, "pids.max", str(self._tasks))
        self._closed_at = None
        self._before = self._refusals()

    def close(self) -> None:
        """Nothing more may start in it until the next run; an attempt now does not count as exceeding the limit."""
        if self._closed_at is None:
            self._closed_at = self._refusals()[0]
            if folder := self._folders.get("pids"):
                _write(folder, "pids.max", "0")

    @property
    def controllers(self) -> frozenset[str]:
        """The controllers it has."""
        return frozenset(self._folders)

    @property
    def counts_memory(self) -> bool:
        """Whether the kernel enforces the memory limit."""
        return "memory" in self._folders

    def refused(self) -> str | None:
        """The limit that the kernel enforced in this run: `process_limit`, `memory_limit`, or None."""
        tasks, memory = self._refusals()
        if tasks > self._before[0]:
            return "process_limit"
        return "memory_limit" if memory > self._before[1] else None

    def _refusals(self) -> tuple[int, int]:
        memory = self._folders.get("memory")
        killed = _count(memory, "memory.events", "oom_kill") + _count(memory, "memory.oom_control", "oom_kill")
        tasks = self._closed_at
        return _count(self._folders.get("pids"), "pids.events", "max") if tasks is None else tasks, killed

    def remove(self) -> None:
        """All processes must be gone. What could not be removed is removed at the next start with the same name."""
        for folder in set(self._folders.values()):
            _remove(folder)


def controllers() -> frozenset[str]:
    """The controllers available here: of `pids`, `memory` and `cpu`."""
    tried = Group(named(f"probe-{os.getpid()}"), tasks=1024, memory=_MEMORY_MARGIN, cpus=1)
    try:
        return tried.controllers
    finally:
        tried.remove()


def remove(name: str) -> None:
    """Remove what a killed shim left behind."""
    for controller in _LIMITS:
        for parent in _parents(controller):
            _remove(os.path.join(parent, name))


def _made(controller: str, name: str, limit: int) -> str | None:
    for parent in _parents(controller):
        folder = os.path.join(parent, name)
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError:
            continue
        if any(_write(folder, file, text.format(limit)) for file, text in _LIMITS[controller].items()):
            _write(folder, "memory.swap.max", "0")
            return folder
        _remove(folder)
    return None


def _parents(controller: str) -> Iterator[str]:
    """Folders in which a cgroup with this controller can be created."""
    ours = _own_groups()
    for kind, mount, options in _mounts():
        if kind == "cgroup2" and "" in ours:
            for place in dict.fromkeys((ours[""], os.path.dirname(ours[""]))):
                folder = mount + place.rstrip("/")
                if controller in _read(folder, "cgroup.subtree_control").split():
                    yield folder
        elif kind == "cgroup" and controller in options.split(",") and controller in ours:
            yield mount + ours[controller].rstrip("/")


def _own_groups() -> dict[str, str]:
    """Our cgroup by controller; that of version 2 under the empty name."""
    found: dict[str, str] = {}
    for line in _read("/proc/self", "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        found.update(dict.fromkeys(controllers.split(","), path))
    return found


def _mounts() -> list[tuple[str, str, str]]:
    """Type, folder and options of the mounted hierarchies."""
    lines = (line.split() for line in _read("/proc/self", "mounts").splitlines())
    return [(kind, folder, options) for _, folder, kind, options, *_ in lines if kind.startswith("cgroup")]


def _count(folder: str | None, file: str, name: str) -> int:
    for line in _read(folder, file).splitlines() if folder else ():
        key, _, value = line.partition(" ")
        if key == name and value.strip().isdigit():
            return int(value)
    return 0


def _read(folder: str, file: str) -> str:
    try:
        with open(os.path.join(folder, file)) as opened:
            return opened.read()
    except OSError:
        return ""


def _write(folder: str, file: str, text: str) -> bool:
    """Whether the kernel accepted the value; a missing file is never created (the folder may be an ordinary one)."""
    try:
        descriptor = os.open(os.path.join(folder, file), os.O_WRONLY)
    except OSError:
        return False
    try:
        os.write(descriptor, text.encode())
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _remove(folder: str) -> None:
    try:
        os.rmdir(folder)
    except OSError:
        return
