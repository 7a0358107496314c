"""`python -m runtime.limited_server MODULE...`: forks a process with limits for each call that `limited.py` asks for.

It imports the modules once and then only forks, so a call costs milliseconds and shares no state with another call.
Standard input is a socket of messages: what to call with which limits, and a socket for arguments and answer. The
server ends when the other side closes.
"""

import gc
import importlib
import json
import os
import resource
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from domain.errors import DeliveryError

MAX_ORDER = 4096
_OPEN_FILES = 32
_NICENESS = 5
_CHUNK = 1 << 16


def main(modules: list[str]) -> int:
    """Serve until the other side closes."""
    control = _control()
    for name in modules:
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies: exit codes are not read
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent process
    gc.freeze()
    while True:
        order, handles, _, _ = socket.recv_fds(control, MAX_ORDER, 1)
        if not order or not handles:
            return 0
        if os.fork() == 0:
            control.close()
            _work(socket.socket(fileno=handles[0]), json.loads(order))
            os._exit(0)
        os.close(handles[0])


def _control() -> socket.socket:
    """The socket, at one descriptor only: a forked process with a second one would take orders of a dead server."""
    control = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return control


def _work(line: socket.socket, order: dict[str, Any]) -> None:
    """Make the call of an order. The kernel kills this process at a limit: then there is no answer."""
    try:
        given = b"".join(iter(lambda: line.recv(_CHUNK), b""))
        line.sendall(b" ")  # from here on the call itself is the cause of any end of this process
        _limit(order["cpu_s"], order["wall_s"], order["memory_mb"])
        line.sendall(_answer(order["function"], json.loads(given)))
    except BaseException:  # noqa: BLE001 - whatever it is: this process must not go on as a server
        os._exit(1)


def _limit(cpu_s: int, wall_s: float, memory_mb: int) -> None:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    memory = pages * os.sysconf("SC_PAGE_SIZE") + (memory_mb << 20)
    signal.setitimer(signal.ITIMER_REAL, wall_s)  # SIGALRM ends a process that has no handler
    for kind, most in (
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
    ):
        resource.setrlimit(kind, (most, most))
    os.nice(_NICENESS)


def _answer(function: str, arguments: list[Any]) -> bytes:
    module, _, name = function.partition(":")
    try:
        return to_json({"result": getattr(sys.modules[module], name)(*arguments)})
    except DeliveryError as error:
        told = {"message": error.message, "code": error.code, "details": error.details}
        return to_json({"error": {"family": type(error).__name__, **told}})
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - the caller gets its name, not the untrusted input
        return to_json({"fault": type(error).__name__})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
