"""Runs functions on untrusted input in a separate process with limits on CPU time, wall time and memory.

For parsers and other pure functions whose cost depends on the input. The kernel enforces the limits, whatever the
function or C code below it does.
"""

import asyncio
import contextlib
import inspect
import json
import os
import socket
import subprocess
import sys
import typing
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter
from pydantic_core import to_json

from domain import errors
from domain.errors import DependencyError

T = TypeVar("T")
ROOT = Path(__file__).resolve().parent.parent
MAX_ANSWER = 1024 * 1024
START_S = 60.0
STARTED = b" "  # sent at once; white space before JSON has no meaning
CONCURRENCY = 8
_TRIES = 2  # a killed server may have lost an order
_CHUNK = 1 << 16


@dataclass(frozen=True)
class CostLimits:
    """Limits of one call: CPU seconds, wall clock seconds, MiB beyond what the interpreter has, bytes of its answer."""

    cpu_s: int
    wall_s: float
    memory_mb: int
    answer: int = MAX_ANSWER

    def __str__(self) -> str:
        return f"{self.cpu_s} s of computing or {self.memory_mb} MiB of memory"


class CostLimitError(Exception):
    """A limit ended the call. The message continues after the name of the input."""


class LimitedProcesses:
    """Calls functions in processes with limits; a process lives for one call.

    Args:
        modules: where the functions are; imported once, by the server that forks.
        concurrency: calls at a time; others wait. Each call ends by its limits, so the wait is bounded.
    """

    def __init__(self, modules: Sequence[str], concurrency: int = CONCURRENCY) -> None:
        self._modules = tuple(modules)
        self._slots = asyncio.Semaphore(concurrency)
        self._starting = asyncio.Lock()
        self._control: socket.socket | None = None

    async def call(self, function: Callable[..., T], *arguments: Any, limits: CostLimits) -> T:
        """The function's result. Arguments and result pass as JSON; the result is read by the annotation.

        Raises:
            CostLimitError: it exceeded a limit.
            DeliveryError: raised by the function.
            DependencyError: no process could be started.
            RuntimeError: the function raised any other exception.
        """
        order = {
            "function": f"{function.__module__}:{function.__name__}",
            "cpu_s": limits.cpu_s,
            "wall_s": limits.wall_s,
            "memory_mb": limits.memory_mb,
        }
        async with self._slots:
            for _ in range(_TRIES):
                if answer := await self._ask(json.dumps(order).encode(), to_json(arguments), limits):
                    return _told(function, answer)
        raise DependencyError("the process for reading files ended before it began; try again shortly")

    async def _ask(self, order: bytes, arguments: bytes, limits: CostLimits) -> bytes:
        """The answer; empty: the process, or the server before the fork, ended before the call began."""
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                await self._send(order, theirs.fileno())
            try:
                async with asyncio.timeout(limits.wall_s + START_S):
                    answer = await _exchange(ours, arguments, limits.answer)
            except TimeoutError:
                raise DependencyError("no process for reading files could be started in time") from None
            except ConnectionError:
                answer = b""
        if answer == STARTED:
            raise CostLimitError(f"it takes more than {limits}")
        return answer

    async def _send(self, order: bytes, handle: int) -> None:
        for attempt in range(2):
            control = await self._server()
            try:
                socket.send_fds(control, [order], [handle])
            except OSError as error:  # it was killed; start another one
                self._control = None
                if attempt:
                    raise DependencyError("no process for reading files can be started") from error
            else:
                return

    async def _server(self) -> socket.socket:
        async with self._starting:
            if self._control is not None:
                return self._control
            control, process = await asyncio.to_thread(_start, self._modules)
            weakref.finalize(self, _stop, control, process)
            self._control = control
            return control


def _start(modules: Sequence[str]) -> tuple[socket.socket, "subprocess.Popen[bytes]"]:
    """Start a server without our environment: its processes must not find our addresses or passwords there."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-E", "-s", "-m", "runtime.limited_server", *modules],
            cwd=ROOT,
            env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    return ours, process


def _stop(control: socket.socket, process: "subprocess.Popen[bytes]") -> None:
    control.close()
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    process.wait()


async def _exchange(line: socket.socket, arguments: bytes, most: int) -> bytes:
    reader, writer = await asyncio.open_unix_connection(sock=line.dup())
    try:
        writer.write(arguments)
        writer.write_eof()
        answer = bytearray()
        while chunk := await reader.read(_CHUNK):
            answer += chunk
            if len(answer) > most:
                raise CostLimitError(f"what it says is larger than {most >> 20} MiB")
        return bytes(answer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def _told(function: Callable[..., T], answer: bytes) -> T:
    try:
        told = json.loads(answer)
    except ValueError:  # it was ended in the middle of its answer
        raise CostLimitError("it was ended by a limit while it answered") from None
    if "error" in told:
        known = told["error"]
        family = getattr(errors, known["family"], errors.TerminalError)
        raise family(known["message"], code=errors.ErrorCode(known["code"]), details=known["details"])
    if "fault" in told:
        raise RuntimeError(f"{function.__name__} ended with {told['fault']}")
    adapter: TypeAdapter[T] = TypeAdapter(typing.get_type_hints(inspect.unwrap(function))["return"])
    return adapter.validate_python(told["result"])
