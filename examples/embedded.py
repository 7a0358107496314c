"""Starts and stops the embedded stack with its own command line, as a user would."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil

ROOT = Path(__file__).resolve().parent.parent
READY_SECONDS = 240.0  # the goal is 20 s on a warm machine; a cold or busy one takes longer
STOP_SECONDS = 180.0
INSTANCE_SECONDS = 60.0
COMMAND_SECONDS = 240.0  # starting Python alone takes long on a busy machine
TAIL_BYTES = 4000


class StackError(Exception):
    """The stack failed; the message contains its output."""


class EmbeddedStack:
    """The stack of one data folder. `up` starts it as a child, or finds the one that already runs there."""

    def __init__(self, data_dir: Path, environment: Mapping[str, str] | None = None) -> None:
        self.data_dir = data_dir
        self._environment = {**os.environ, **(environment or {}), "DELIVERY_DATA_DIR": str(data_dir)}
        self._child: subprocess.Popen[bytes] | None = None
        self.output = data_dir / "up.log"
        self.addresses: dict[str, str] = {}
        self._before: frozenset[int] = frozenset()

    @property
    def started_here(self) -> bool:
        """Whether this object started the stack, and so has to stop it."""
        return self._child is not None

    def find(self) -> bool:
        """Use a stack that already runs on the data folder; returns whether there is one."""
        try:
            if "api" not in json.loads(self._command("status")):
                return False
            addresses = json.loads(self._command("addresses"))
            _ask(addresses["api"])
        except (StackError, OSError, ValueError, KeyError):
            return False
        self.addresses = addresses
        return True

    def up(self) -> None:
        """Start and wait until it is ready; raises `StackError` with its output if it fails."""
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self.addresses:  # not on a restart: those services are ours
            self._before = frozenset(process.pid for process in self._shims())
        ready = self.data_dir / f"ready-{os.getpid()}"  # the stack removes it at its end
        ready.unlink(missing_ok=True)
        with self.output.open("ab") as log:  # another stack may be writing there
            self._child = subprocess.Popen(
                [*_stack(), "up", "--ready-file", str(ready)],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches us, and we stop it in order
            )
        self._await_ready(self._child, ready)
        self.addresses = json.loads(self._command("addresses"))

    def token(self, *, sub: str = "") -> str:
        """A development token of a platform administrator with the subject `sub`."""
        who = [f"--sub={sub}"] if sub else []
        return self._command("token", *who).strip().splitlines()[-1]

    def down(self) -> None:
        """Stop what `up` started: with SIGTERM first, at the deadline by killing its process group."""
        child, self._child = self._child, None
        if child is None:
            return
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
        try:
            code = child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            raise StackError(f"the stack did not stop within {STOP_SECONDS:g} s\n{self.tail()}") from None
        if code not in (0, -signal.SIGTERM):
            raise StackError(f"the stack ended with code {code}\n{self.tail()}")

    def kill(self) -> int:
        """SIGKILL for the supervisor alone, as in a test; `up` may then be called again. Returns its pid."""
        child, self._child = self._child, None
        if child is None:
            raise StackError("the stack was not started here")
        child.kill()
        child.wait()
        return child.pid

    def end_instances(self) -> None:
        """End services started since `up` that still run because the stack did not stop in order."""
        ours = [process for process in self._shims() if process.pid not in self._before]
        for process in ours:
            with suppress(psutil.NoSuchProcess):
                process.terminate()  # a shim forwards it, and exits with its service
        _, alive = psutil.wait_procs(ours, timeout=INSTANCE_SECONDS)
        if alive:
            raise StackError(f"services still run: {', '.join(str(process.pid) for process in alive)}")

    def _shims(self) -> list[psutil.Process]:
        """The processes that hold the instances of this data folder."""
        home = f"{self.data_dir / 'instances'}{os.sep}"
        found = psutil.process_iter(["cmdline"])
        return [p for p in found if any(word.startswith(home) for word in p.info["cmdline"] or ())]

    def tail(self) -> str:
        """The end of the output of `up`."""
        try:
            return self.output.read_bytes()[-TAIL_BYTES:].decode(errors="replace")
        except OSError:
            return ""

    def _await_ready(self, child: subprocess.Popen[bytes], ready: Path) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not ready.exists():
            if child.poll() is not None:
                self._child = None
                raise StackError(f"the stack ended with code {child.returncode} before it was ready\n{self.tail()}")
            if time.monotonic() > deadline:
                raise StackError(f"the stack was not ready after {READY_SECONDS:g} s\n{self.tail()}")
            time.sleep(0.05)

    def _command(self, *arguments: str) -> str:
        try:
            done = subprocess.run(
                [*_stack(), *arguments],
                cwd=ROOT,
                env=self._environment,
                capture_output=True,
                text=True,
                timeout=COMMAND_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise StackError(f"{' '.join(arguments)} did not answer in {COMMAND_SECONDS:g} s") from error
        if done.returncode:
            raise StackError(f"`runtime.stack {' '.join(arguments)}` failed: {done.stderr.strip()[-TAIL_BYTES:]}")
        return done.stdout


def _stack() -> list[str]:
    return [sys.executable, "-m", "runtime.stack"]


def _ask(api: str) -> None:
    """Raise OSError unless something listens at the API's address."""
    parts = urlsplit(api)
    socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 80), timeout=2).close()
