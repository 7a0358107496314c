"""What a process with limits is asked to do in the tests."""

import os
import signal
import socket
import time
from pathlib import Path

from domain.errors import ErrorCode, TerminalError


def length(text: str) -> int:
    return len(text)


def burn() -> int:
    while True:
        pass


def wait() -> None:
    time.sleep(3600)


def ignore_signals() -> None:
    for number in (signal.SIGALRM, signal.SIGXCPU, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    burn()


def hoard() -> int:
    return len([bytearray(1 << 20) for _ in range(100_000)])


def flood() -> str:
    return "x" * (64 << 20)


def write(path: str) -> int:
    return Path(path).write_text("x" * 100_000)


def refuse(word: str) -> str:
    raise TerminalError(f"no {word}", code=ErrorCode.SPEC_INVALID, details={"line": 3})


def fail() -> None:
    raise KeyError("a stranger's text")


def seen() -> dict[str, str]:
    return {"pid": str(os.getpid()), "environment": " ".join(sorted(os.environ)), "host": socket.gethostname()}
