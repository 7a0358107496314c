"""Runs one tool over a stranger's tree as a stranger's process: isolated as builds are, without a network."""

import asyncio
import hashlib
import math
import os
import stat
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from drivers import place, sandbox
from drivers.bridge.network import Network
from drivers.clean_env import CodePath
from drivers.egress import inside
from drivers.folders import finish_in_thread, remove_tree
from drivers.place import Folders, Place
from drivers.scanners.base import ScannerFaultError, Sources
from drivers.shim import client
from drivers.shim.faults import disk_full_reported
from drivers.shim.spec import ShimSpec

MIB = 1024 * 1024
# Of what a tool writes as its result; more is a fault and not read.
MAX_OUTPUT = 16 * MIB
DEFAULT_MEMORY_MB = 2048
_WORDS = 64 * 1024
_STOP_TIMEOUT_S = 1
_NICENESS = 10
_POLL_S, _POLL_MAX_S = 0.01, 0.1
_OPEN_FILES = 1024
# The file is the result; what is said besides goes to the shim's log. `-t`: seconds of computing of each process.
_START = 'ulimit -c 0 || true; ulimit -t "$1" || true; out="$2"; shift 2; exec "$@" > "$out"'
_REASONS = {
    "timeout": "took longer than {timeout_s:.0f} s and was ended",
    "memory_limit": "used more than {memory_mb} MiB of memory and was ended",
    "process_limit": "had more than {processes} processes and threads at once and was ended",
    "disk_limit": "wrote more than {disk_mb} MiB and was ended",
    "disk_full": "could not write: the disk of the data folder is full",
    "stopped": "was ended from outside",
}


@dataclass(frozen=True)
class ToolLimits:
    """What one tool may use: processes and threads, MiB on disk, processors (with control groups)."""

    processes: int = 64
    disk_mb: int = 256
    cpus: float | None = 1.0


@dataclass(frozen=True)
class Command:
    """A tool's call.

    Attributes:
        tool: its name.
        argv: `{state}`, `{tree}` and `{tmp}` in a word are where the tool finds these folders.
        paths: words after them that stay as they are: names of a stranger's files.
        fine: exit codes of a tool that did its work.
        readable: folders and files of ours that it needs, shown read-only at their own place.
        env: what it is told besides PATH, HOME, TMPDIR, LANG; the same braces.
        files: contents by name, put into `{state}`.
        talks: the end of what it said may be in a fault. Not of tools that quote sources: those hold secrets.
        limits: of its processes together.
        notices: what the call leaves out, for people.
    """

    tool: str
    argv: tuple[str, ...]
    paths: tuple[str, ...] = ()
    fine: frozenset[int] = frozenset({0})
    readable: tuple[Path, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    talks: bool = False
    limits: ToolLimits = ToolLimits()
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ran:
    """A tool that did its work.

    Attributes:
        output: what it wrote to standard output, a regular file of at most `MAX_OUTPUT`.
        tree: the service's folder.
        seen_at: the same as the tool saw it.
        state: the tool's `{state}`.
    """

    code: int
    output: Path
    tree: Path
    seen_at: str
    state: Path


class ToolProcesses:
    """Where tools run.

    Args:
        trusted: without isolation, as trusted builds do; then they are shielded where that works.
        hidden: what they must not see, wherever it lies.
        path: where programs are searched; None: at the usual places.
        memory_mb: MiB that the processes of one tool may use.
    """

    def __init__(
        self,
        *,
        trusted: bool,
        hidden: tuple[Path, ...] = (),
        path: CodePath | None = None,
        memory_mb: int = DEFAULT_MEMORY_MB,
    ) -> None:
        self._memory_mb = memory_mb
        self._trusted = trusted
        self._hidden = hidden
        self._path = path or CodePath.of("", trusted=trusted)

    @property
    def path(self) -> tuple[str, ...]:
        return self._path.folders

    async def run(self, command: Command, sources: Sources, *, timeout_s: float) -> Ran:
        """Ends what an earlier attempt left, runs the tool to its end, and looks at what it left.

        Raises:
            ScannerFaultError: it did not do its work.
            TerminalError: DISK_FULL.
        """
        home = sources.order.scratch / command.tool
        await client.stop(home / "shim")
        await finish_in_thread(_prepare, home, command.files)
        where = self._place(command, sources, home)
        spec = self._spec(command, sources, home, where, timeout_s)
        await client.end_marked(spec.cookie)
        try:
            await client.start(home / "shim", spec)
            code, reason = await _ended(home / "shim", spec.run_id)
        except BaseException:
            await client.finish(client.stop(home / "shim", run_id=spec.run_id))
            raise
        finally:
            place.forget(home / "tmp")
        facts = {"timeout_s": timeout_s, "memory_mb": self._memory_mb, **vars(command.limits)}
        code = _judged(command, home, code, reason, facts)
        return Ran(code, checked(home / "state" / "output"), sources.tree, where.cwd, home / "state")

    def _place(self, command: Command, sources: Sources, home: Path) -> Place:
        root = sources.order.root or sources.tree
        folders = Folders(
            app=root,
            home=home / "home",
            tmp=home / "tmp",
            cwd=str(sources.tree.relative_to(root)),
            state=home / "state",
            read_only=True,
        )
        shown = (*self._path.shown, *command.readable)
        if not self._trusted:
            network: Network = inside.network(None)
            return place.isolated(folders, hidden=self._hidden, readable=shown, network=network)
        if sandbox.can_shield():
            return place.shielded(folders, hidden=self._hidden, readable=shown)
        return place.trusted(folders)

    def _spec(self, command: Command, sources: Sources, home: Path, where: Place, timeout_s: float) -> ShimSpec:
        names = {"{state}": where.state, "{tree}": where.cwd, "{tmp}": where.tmp, "{home}": where.home}
        words = [*(_filled(word, names) for word in command.argv), *command.paths]
        env = {
            "LANG": "C.UTF-8",
            **{name: _filled(value, names) for name, value in command.env.items()},
            "PATH": ":".join(self._path.folders),
            "HOME": where.home,
            "TMPDIR": where.tmp,
        }
        begin = ("/bin/sh", "-euc", _START, "tool", str(math.ceil(timeout_s)), f"{where.state}/output")
        started = where.command((*begin, *words), env)
        limits = command.limits
        return ShimSpec(
            argv=started.argv,
            cwd=str(sources.tree),
            env=started.env,
            inputs=started.inputs,
            cookie=hashlib.sha256(f"{sources.order.key}-{command.tool}".encode()).hexdigest()[:32],
            run_id=uuid.uuid4().hex,
            log_path=str(home / "log"),
            log_max_bytes=_WORDS,
            timeout_s=timeout_s,
            memory_mb=self._memory_mb,
            processes=limits.processes + where.levels + bool(where.inner),
            cpus=limits.cpus,
            disk_mb=limits.disk_mb,
            disk_folders=[str(home)],
            stop_timeout_s=_STOP_TIMEOUT_S,
            open_files=_OPEN_FILES,
            niceness=_NICENESS,
            wrapper_levels=where.levels,
        )


def python(script: Path) -> tuple[str, ...]:
    """The words that run a script of ours by the engine's own interpreter, without its packages."""
    return (f"{sys.base_prefix}/bin/python3", "-I", "-S", "-B", str(script))


def _filled(word: str, names: Mapping[str, str]) -> str:
    for name, value in names.items():
        word = word.replace(name, value)
    return word


def _prepare(home: Path, files: Mapping[str, bytes]) -> None:
    remove_tree(home)
    with disk_full_reported(home):
        for name in ("home", "tmp", "state"):
            (home / name).mkdir(mode=0o700, parents=True)
        for name, content in files.items():
            (home / "state" / name).write_bytes(content)


async def _ended(state: Path, run_id: str) -> tuple[int, str]:
    pause = _POLL_S
    while (now := client.status(state)).alive and now.run_id == run_id:
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, _POLL_MAX_S)
    if now.run_id != run_id or now.exit is None:
        return 0, "stopped"
    return now.exit.code, now.exit.reason


def _judged(command: Command, home: Path, code: int, reason: str, facts: Mapping[str, float | None]) -> int:
    if reason != "exited":
        words = _REASONS.get(reason, "was ended by a limit")
        raise ScannerFaultError(words.format(**facts))
    said = _said(home / "log") if command.talks else ""
    if code not in command.fine:
        how = f"was ended by signal {code - 128}" if code > 128 else f"ended with exit code {code}"  # noqa: PLR2004 - as a shell tells it
        raise ScannerFaultError(how + (f": {said}" if said else ""))
    return code


def checked(output: Path) -> Path:
    """A file that a stranger's process was to write, if it is one and not too large.

    Raises:
        ScannerFaultError: it is not.
    """
    try:
        found = output.lstat()
    except OSError:
        raise ScannerFaultError("left no result") from None
    if not stat.S_ISREG(found.st_mode):
        raise ScannerFaultError("left something that is no file in the place of its result")
    if found.st_size > MAX_OUTPUT:
        raise ScannerFaultError(f"wrote a result of more than {MAX_OUTPUT // MIB} MiB")
    return output


def _said(path: Path) -> str:
    """The last line, printable and short."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 4096))
            lines = file.read().decode(errors="replace").strip().splitlines()
    except OSError:
        return ""
    last = lines[-1] if lines else ""
    return "".join(letter if letter.isprintable() else " " for letter in last)[:300].strip()
