"""Runs inside: makes each attempt in a process of its own and prints a line of JSON about it. Standard library only.

`python3 -I -S probe.py FILE`: `FILE` holds the world and the attempts. With a third word one attempt is made here.
"""

import contextlib
import ctypes
import errno
import fcntl
import json
import mmap
import os
import pathlib
import platform
import pty
import signal
import socket
import stat
import struct
import subprocess
import sys
import termios
import time

LIMIT_S = 60
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long
MODULES = (contextlib, ctypes, errno, fcntl, mmap, os, pathlib, platform, pty, signal, socket, stat, struct)
MODULES += (subprocess, termios, time)


class Denied(Exception):  # noqa: N818 - a verdict
    """It did not get what it wanted."""


def number(call, *arguments):
    """A system call by its number."""
    words = [ctypes.c_long(each) if isinstance(each, int) else ctypes.c_char_p(each) for each in arguments]
    answer = LIBC.syscall(ctypes.c_long(call), *words)
    if answer < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return answer


def through(to):
    """Asks the proxy for a tunnel; that it answers is part of the attempt."""
    with socket.create_connection(("127.0.0.1", 3128), timeout=30) as found:
        found.sendall(f"CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n".encode())
        said = found.recv(4096).decode("latin-1").partition("\r\n")[0]
    if not said.startswith("HTTP/1.1 "):
        raise RuntimeError(f"that is no proxy: {said}")
    if not said.startswith("HTTP/1.1 200 "):
        raise Denied(said.removeprefix("HTTP/1.1 "))


def attempt(world, code):
    """What came of it: denied, reached or broken, and the words for it."""

    def syscall(name, *arguments):
        words = [each.encode() if isinstance(each, str) else each for each in arguments]
        return number(world["calls"][name], *words)

    def refused(name, *arguments):
        try:
            syscall(name, *arguments)
        except OSError as error:
            if error.errno in (errno.EPERM, errno.ENOSYS, errno.EAFNOSUPPORT):
                raise
            # The kernel looked at the arguments: the call itself is open.

    def connect(family, address):
        with socket.socket(family) as found:
            found.settimeout(5)
            found.connect(address)

    def connect_below(folder, name):
        """A unix socket, also where its path is longer than an address."""
        at = os.open(folder, os.O_PATH)
        connect(socket.AF_UNIX, f"/proc/self/fd/{at}/{name}")

    names = {module.__name__: module for module in MODULES}
    names |= {"w": world, "syscall": syscall, "refused": refused, "number": number, "connect": connect}
    names |= {"connect_below": connect_below, "through": through, "Denied": Denied}
    try:
        exec(code, names)  # noqa: S102 - our own table
    except (Denied, OSError) as error:
        return "denied", getattr(error, "strerror", None) or str(error)
    except BaseException as error:  # noqa: BLE001 - told to the test
        return "broken", repr(error)
    return "reached", ""


def main():
    given = json.loads(pathlib.Path(sys.argv[1]).read_text())
    if len(sys.argv) > 2:
        print(json.dumps(attempt(given["world"], given["attempts"][sys.argv[2]])))  # noqa: T201 - its answer
        return
    for name in given["attempts"]:
        argv = [sys.executable, *sys.orig_argv[1:], name]
        try:
            done = subprocess.run(argv, capture_output=True, timeout=LIMIT_S, check=False)
            said = (
                json.loads(done.stdout)
                if done.stdout
                else ("broken", done.stderr.decode()[-300:] or f"{done.returncode}")
            )
        except subprocess.TimeoutExpired:
            said = ("broken", f"not over after {LIMIT_S} s")
        print("ATTEMPT", json.dumps([name, *said]), flush=True)  # noqa: T201 - its answer
    print("ATTEMPTS-DONE", flush=True)  # noqa: T201 - its answer


main()
