"""Supervises one process: its output, limits, restarts and end. Single-threaded; runs in the shim."""

import os
import select
import signal
import time
from collections.abc import Iterable

from drivers.shim import child, proc
from drivers.shim.cgroup import Group, named
from drivers.shim.disk import DiskWatch
from drivers.shim.door import Door
from drivers.shim.ending import kill_tree
from drivers.shim.hold import PortHold
from drivers.shim.leftovers import kill
from drivers.shim.log import CappedLog
from drivers.shim.memory import MemoryWatch
from drivers.shim.pool import Pool, Used
from drivers.shim.record import Record
from drivers.shim.spec import LOCK, ShimSpec

_TURN_S = 0.25
_ENDING_TURN_S = 0.02
_CHUNK = 65536
_MIB = 1024 * 1024
_FILE_TOO_LARGE = 128 + signal.SIGXFSZ


class ShimSupervisor:
    """Runs the process until it ends for good. Every end waits until the whole tree below the shim is gone."""

    def __init__(self, state_dir: str, spec: ShimSpec) -> None:
        self._spec = spec
        self._lock = os.path.join(state_dir, LOCK)
        self._record = Record(state_dir)
        self._port = PortHold(spec.port)
        self._door = Door(spec.door)
        self._listener = self._door.open()
        self._log = CappedLog(spec.log_path, spec.log_max_bytes, rotate=spec.on_full_log == "rotate")
        self._out, self._child_out = os.pipe()
        self._wake, wake = os.pipe()
        for descriptor in (self._out, self._wake, wake):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        memory = spec.memory_mb * _MIB if spec.memory_mb is not None else None
        self._group = Group(named(spec.cookie), tasks=spec.processes, memory=memory, cpus=spec.cpus)
        self._pool = Pool(spec.pool, named(spec.cookie), spec.pool_limits) if spec.pool is not None else None
        self._disk = DiskWatch(spec.disk_folders, spec.disk_mb * _MIB) if spec.disk_mb is not None else None
        self._stopping = False
        self._restarts = 0
        self._deaths_in_a_row = 0
        self._code: int | None = None
        self._last_reason: str | None = None
        self._begin()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._facts = {
            "shim_pid": os.getpid(),
            "shim_start_time": _start_time(os.getpid()),
            "boot_id": proc.boot_id(),
            "cookie": spec.cookie,
            "run_id": spec.run_id,
            "stop_timeout_s": spec.stop_timeout_s,
        }
        self._show(None)

    def run(self) -> None:
        child.become_subreaper()
        while True:
            self._run_once()
            if self._stopping or not self._spec.restart or not self._back_off():
                break
        self._door.remove()
        self._group.remove()
        self._log_closed()
        reason = "stopped" if self._stopping else self._reason or "exited"
        self._record.ended(
            {
                "code": 0 if self._code is None else self._code,
                "reason": reason,
                "restarts": self._restarts,
                "finished_at": time.time(),
            }
        )

    def _begin(self) -> None:
        """Reset the state for one run of the process."""
        self._reason: str | None = None
        self._kill_at = float("inf")
        self._told: set[int] = set()
        self._began = self._look_at = time.monotonic()
        self._turn_s = _TURN_S
        self._pid: int | None = None
        self._peak = self._tasks = 0
        memory = self._spec.memory_mb
        kernel_counts = self._group.counts_memory
        self._memory = MemoryWatch(memory * _MIB, kernel_counts=kernel_counts) if memory is not None else None

    def _run_once(self) -> None:
        self._begin()
        self._group.begin()
        _hurry(on=False)
        self._port.let_go()
        self._pid = self._start()
        self._show(self._pid)
        while self._turn():
            pass
        self._read_output()
        if self._pool is not None:
            self._pool.leave()
        if self._reason == "exited":
            self._reason = self._refused() or "exited"
        self._last_reason = self._reason
        self._show(None)

    def _refused(self) -> str | None:
        """The limit that made it end by itself: fast allocations and forks hit it between two samples."""
        if refused := self._group.refused():
            return refused
        if self._code == _FILE_TOO_LARGE:
            return "disk_limit"
        # Without a cgroup: the machine's memory ran out, or an allocation was refused.
        too_large = self._spec.memory_mb is not None and self._peak > self._spec.memory_mb * _MIB
        return "memory_limit" if self._code and too_large and not self._group.counts_memory else None

    def _start(self) -> int:
        """From here on only the process has its socket."""
        listener, self._listener = self._listener, None
        try:
            return child.start(self._spec, self._child_out, self._group, listener.fileno() if listener else None)
        finally:
            if listener is not None:
                listener.close()

    def _turn(self) -> bool:
        """One sample of everything; False when nothing of the tree is left."""
        # A fork bomb gets a thousand times our CPU time: count its processes before it runs again.
        _hurry(on=self._spec.processes is not None)
        self._wait(self._turn_s if self._reason is None else _ENDING_TURN_S)
        if self._reason is None and time.monotonic() < self._look_at:
            _hurry(on=False)
        self._read_output()
        self._reap()
        if self._stopping:
            self._end("stopped", self._spec.stop_timeout_s)
        if self._pid is None:
            self._end("exited", 0)
        # A chatty process wakes us a thousand times a second: its tree is only sampled when due.
        if self._reason is None and time.monotonic() < self._look_at:
            return True
        self._look_at = time.monotonic() + self._turn_s
        self._stop_when_abandoned()
        tree = proc.descendants(os.getpid(), self._enough)
        self._check_limits(list(tree))
        if self._reason is not None:
            self._press(tree)
        return bool(tree)

    def _check_limits(self, tree: list[int]) -> None:
        spec = self._spec
        if spec.timeout_s is not None and time.monotonic() - self._began > spec.timeout_s:
            self._end("timeout", 0)
        if refused := self._group.refused():
            self._end(refused, 0)
        if spec.processes is not None:
            self._count(tree, spec.processes)
        if self._memory is not None and self._memory.exceeded(tree):
            self._end("memory_limit", 0)
        if self._disk is not None and self._reason is None and self._disk.exceeded(tree):
            self._end("disk_limit", 0)
        if self._pool is not None and self._reason is None:
            self._share(tree, self._pool)

    def _share(self, tree: list[int], pool: Pool) -> None:
        used = Used(
            memory=self._memory.used if self._memory is not None else 0,
            disk=self._disk.used if self._disk is not None else 0,
            processes=self._tasks,
            files=proc.open_files(tree),
        )
        if (what := pool.exceeded(used)) is not None:
            self._log.write(f"[shim] its owner's together take too much ({what}), this one the most\n".encode())
            self._end(f"{what}_quota", 0)

    @property
    def _enough(self) -> int | None:
        """The maximum number of processes to sample: beyond it, the count is known to exceed the limit."""
        return None if self._spec.processes is None or self._reason is not None else self._spec.processes + 1

    def _count(self, tree: list[int], limit: int) -> None:
        """A tree near the limit is sampled more often: a fork bomb doubles in milliseconds."""
        self._tasks = tasks = proc.tasks(tree, limit)
        near = tasks > limit // 2
        self._turn_s = _ENDING_TURN_S if near else _TURN_S
        _hurry(on=near)
        if tasks > limit:
            self._end("process_limit", 0)

    def _end(self, reason: str, grace_s: float) -> None:
        """The first reason stays."""
        if self._reason is None:
            self._reason = reason
            self._kill_at = time.monotonic() + grace_s

    def _press(self, tree: dict[int, int]) -> None:
        """SIGTERM once for each process that is not the sandbox itself, SIGKILL for all after the timeout."""
        if time.monotonic() >= self._kill_at:
            self._group.close()
            kill_tree(tree, self._pid, self._spec.wrapper_levels)
            return
        for pid, depth in tree.items():
            if depth > self._spec.wrapper_levels and pid not in self._told:
                self._told.add(pid)
                kill(pid, signal.SIGTERM)

    def _reap(self) -> None:
        while True:
            try:
                pid, status, used = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._peak = max(self._peak, used.ru_maxrss * 1024)
            if pid == self._pid:
                code = os.waitstatus_to_exitcode(status)
                self._code = code if code >= 0 else 128 - code
                self._pid = None

    def _read_output(self) -> None:
        """Read the available output, for a bounded time: a process that writes faster than we read must not block."""
        for _ in range(64):
            try:
                data = os.read(self._out, _CHUNK)
            except BlockingIOError:
                return
            if self._reason == "disk_full":
                continue
            verdict = self._log.write(data)
            if verdict:
                self._end(verdict, 0)

    def _log_closed(self) -> None:
        if self._log.close():
            self._reason = self._reason if self._reason not in (None, "exited") else "disk_full"

    def _wait(self, seconds: float) -> None:
        poll = select.poll()
        poll.register(self._out, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        poll.poll(max(0, int(seconds * 1000)))
        try:
            while os.read(self._wake, _CHUNK):
                pass
        except BlockingIOError:
            return

    def _back_off(self) -> bool:
        """Wait before the next start; False when told to stop meanwhile."""
        stable = time.monotonic() - self._began >= self._spec.stable_s
        self._deaths_in_a_row = 1 if stable else self._deaths_in_a_row + 1
        delay = min(self._spec.backoff_s * 2 ** min(self._deaths_in_a_row - 1, 30), self._spec.backoff_max_s)
        self._log.write(f"[shim] ended ({self._reason}, code {self._code}); again in {delay:g} s\n".encode())
        self._port.take()
        if self._reason == "disk_limit":
            _empty(self._spec.scratch)
        until = time.monotonic() + delay
        while not self._stopping and (left := until - time.monotonic()) > 0:
            self._wait(min(left, 1))
            self._stop_when_abandoned()
        if self._stopping or not self._await_port() or not self._await_door():
            return False
        self._restarts += 1
        return True

    def _await_port(self) -> bool:
        """Do not start on a port that another process has: the engine assigns a new one. False when told to stop."""
        if not self._port.take():
            self._log.write(b"[shim] another process has its port; it waits for another port\n")
        while not self._stopping and not self._port.take():
            self._wait(1)
            self._stop_when_abandoned()
        return not self._stopping

    def _await_door(self) -> bool:
        """Retry: a full disk may have room again, the folder may be recreated. False when told to stop."""
        told = False
        while not self._stopping and self._listener is None and self._spec.door is not None:
            try:
                self._listener = self._door.open()
            except OSError as error:
                if not told:
                    self._log.write(f"[shim] its socket {self._spec.door} cannot be made: {error}\n".encode())
                told = True
                self._wait(1)
                self._stop_when_abandoned()
        return not self._stopping

    def _show(self, pid: int | None) -> None:
        """Write the record. If the disk is full the older one stays; readers check it against the start time."""
        facts = {
            **self._facts,
            "child_pid": pid,
            "child_start_time": _start_time(pid) if pid else None,
            "pgid": pid,
            "restarts": self._restarts,
            "last_code": self._code,
            "last_reason": self._last_reason,
        }
        try:
            self._record.present(facts)
        except OSError:
            if pid is None and self._code is None:
                raise

    def _stop_when_abandoned(self) -> None:
        """Without its folder nothing can find or stop this shim any more, and another one may do its work."""
        self._stopping = self._stopping or not os.path.exists(self._lock)

    def _on_stop(self, *_: object) -> None:
        self._stopping = True


def _hurry(*, on: bool) -> None:
    """Raise our own CPU priority, if permitted (as root)."""
    policy = os.SCHED_RR | os.SCHED_RESET_ON_FORK if on else os.SCHED_OTHER
    if on == (os.sched_getscheduler(0) != os.SCHED_OTHER):
        return
    try:
        os.sched_setscheduler(0, policy, os.sched_param(1 if on else 0))
    except OSError:
        return


def _empty(folders: Iterable[str]) -> None:
    """Delete a service's temporary files; with them it would reach its limit again at once."""
    import shutil  # noqa: PLC0415 - slow to load and hardly ever needed

    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder, mode=0o700, exist_ok=True)


def _start_time(pid: int) -> int:
    found = proc.read(pid)
    return found.start_time if found else 0
