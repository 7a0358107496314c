"""A supervised process: started in its own session, logging to a file, recorded by pid and start time.

Children do not get PR_SET_PDEATHSIG. When the supervisor is killed with SIGKILL they stay up, so that deployed
services remain reachable through Envoy and running deployments finish; their records let the next `up` adopt
or end them, and `down` end them. A death signal would turn the loss of the least important process
into the loss of all of them (and it follows the thread that forked, not the process).
"""

import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from runtime.stack import remains
from runtime.stack.identity import Identity

_POLL_S = 0.02
_KILLED_WITHIN_S = 5.0


@dataclass(frozen=True)
class Command:
    """How to run a part.

    Args:
        env: its whole environment; secrets go here, never into `argv`.
        user: uid and gid to run as; None: ours.
        stops: signals to end it with, each with the seconds it gets before the next; SIGKILL comes last anyway.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    log: Path
    user: tuple[int, int] | None = None
    stops: tuple[tuple[signal.Signals, float], ...] = ((signal.SIGTERM, 10.0),)

    @property
    def digest(self) -> str:
        """Equal for two commands that start the same thing; tells whether a leftover process may be adopted."""
        whole = "\0".join([*self.argv, str(self.cwd), *(f"{k}={v}" for k, v in sorted(self.env.items()))])
        return hashlib.sha256(whole.encode()).hexdigest()


class Process:
    """One running process, ours by birth or by adoption.

    Args:
        command: how it is run.
        record: file of its identity.
        mark: names it in its environment and its children's, so that these are found after its death; empty: nothing.
    """

    def __init__(self, command: Command, record: Path, *, mark: str = "") -> None:
        self.command = command
        self.record = record
        self._mark = mark
        self.identity: Identity | None = None
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self.identity.pid if self.identity else None

    def start(self) -> None:
        """Run it. A process that dies at once is reported by `exit_reason`, not here.

        Raises:
            OSError: the binary cannot be run.
        """
        uid, gid = self.command.user or (None, None)
        with self.command.log.open("ab") as log:
            self._popen = subprocess.Popen(
                self.command.argv,
                env={**self.command.env, **({remains.MARK: self._mark} if self._mark else {})},
                cwd=self.command.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in the terminal reaches the supervisor alone
                user=uid,
                group=gid,
                extra_groups=None if uid is None else [],
            )
        self.identity = Identity.of(self._popen.pid, self.command.digest)
        if self.identity:
            self.identity.save(self.record)

    def adopt(self) -> bool:
        """Take over the recorded process if it lives and was started by the same command."""
        identity = Identity.load(self.record)
        if identity is None or not identity.alive() or identity.command != self.command.digest:
            return False
        self.identity, self._popen = identity, None
        return True

    def exit_reason(self) -> str | None:
        """How it ended; None while it runs."""
        if self._popen is not None:
            code = self._popen.poll()
            return None if code is None else _describe(code)
        if self.identity is not None and self.identity.alive():
            return None
        return "gone"

    def end_remains(self) -> None:
        """Kill what is left of one that died: its children, or itself when its record was lost.

        Raises:
            DependencyError: something survives SIGKILL.
        """
        if self._mark:
            remains.end(self.record.stem, remains.marked(self._mark))

    def stop(self) -> None:
        """End it and its process group, within the limits of its command; its record goes too."""
        if self.identity is not None:
            end(self.identity, self.command.stops)
        if self._popen is not None:
            with suppress(subprocess.TimeoutExpired):
                self._popen.wait(timeout=_KILLED_WITHIN_S)
        self.identity = self._popen = None
        self.record.unlink(missing_ok=True)


def end(identity: Identity, stops: tuple[tuple[signal.Signals, float], ...]) -> None:
    """End a process with ever harder signals; what is left of its group is killed."""
    for signum, patience_s in stops:
        identity.send(signum)
        if _gone(identity, patience_s):
            break
    else:
        identity.send(signal.SIGKILL, group=True)
        _gone(identity, _KILLED_WITHIN_S)
    _sweep_group(identity.pid)


def _sweep_group(leader: int) -> None:
    """Kill helpers that outlived the leader; a pid is not reused while a group carries its number."""
    if Identity.of(leader) is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, signal.SIGKILL)


def _gone(identity: Identity, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while identity.alive():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _describe(code: int) -> str:
    if code >= 0:
        return f"exited with code {code}"
    return f"was ended by {signal.Signals(-code).name}"
