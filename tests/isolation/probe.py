"""Runs inside: makes each attempt in a process of its own and prints a line of JSON about it. Standard library only.

`python3 -I -S probe.py FILE`: `FILE` holds the world and the attempts.
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
import select
import signal
import socket
import stat
import struct
import subprocess
import sys
import termios
import time

LIMIT_S = 60
PROXY = ("127.0.0.1", 3128)
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


class Reached(Exception):  # noqa: N818 - a verdict
    """It got there; the words say by which of several forms."""


def ask(request):
    """What the proxy answers, to its end or to a tunnel's beginning; that it answers is part of the attempt."""
    said = b""
    with socket.create_connection(PROXY, timeout=LIMIT_S / 2) as found:
        found.sendall(request)
        while not said.startswith((b"HTTP/1.1 200 Connection", b"\0", b"\5")) and (part := found.recv(4096)):
            said += part
    if not said:
        raise RuntimeError("the proxy said nothing")
    return said


def judged(*requests):
    """Each is refused by what the proxy knows of it, and not because nobody was there."""
    for request in requests:
        said = ask(request)
        words = said.partition(b"\r\n")[0].decode("latin-1").removeprefix("HTTP/1.1 ")
        if not said.startswith(
            (b"HTTP/1.1 4", b"HTTP/1.1 501 ", b"HTTP/1.1 502 there is no host ", b"HTTP/1.1 504 the name ")
        ):
            raise Reached(f"{request[:60]!r}: {words}")
    raise Denied(words)


def through(*destinations):
    """A tunnel to any of them."""
    judged(*(f"CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n".encode() for to in destinations))


def forwarded(*urls, more=b"", body=b""):
    """A request in the clear."""
    judged(*(f"GET {url} HTTP/1.1\r\nHost: allowed.test\r\n".encode() + more + b"\r\n" + body for url in urls))


def socks(kind, host, port, command=1):
    """SOCKS 5, with an address (1, 4) or a name (3)."""
    name = bytes([len(host)]) + host if kind == 3 else host
    with socket.create_connection(PROXY, timeout=LIMIT_S / 2) as found:
        found.sendall(bytes([5, 1, 0, 5, command, 0, kind]) + name + struct.pack("!H", port))
        said = b""
        while len(said) < 4 and (part := found.recv(64)):
            said += part
    if said[:3] != bytes([5, 0, 5]):
        raise RuntimeError(f"that is no proxy for SOCKS: {said!r}")
    if said[3] not in (1, 2):  # refused; not: there is no host, or nobody there
        raise Reached(f"SOCKS answers {said[3]}")
    raise Denied("SOCKS says no")


def fetch(url):
    """As programs do that obey HTTP_PROXY."""
    import urllib.request  # noqa: PLC0415 - slow, and each attempt is a process

    with urllib.request.urlopen(url, timeout=LIMIT_S / 2) as answer:  # noqa: S310 - of our own table
        return answer.read()


def surely(call, *arguments):
    """What must work for the rest to mean anything."""
    try:
        return call(*arguments)
    except (Denied, OSError) as error:
        raise RuntimeError(f"even what is allowed did not work: {error}") from error


def attempt(world, code):
    """What came of it: denied, reached or broken, and the words for it."""

    def syscall(name, *arguments):
        words = [each.encode() if isinstance(each, str) else each for each in arguments]
        return number(world["calls"][name], *words)

    def refused(name, *arguments):
        try:
            syscall(name, *arguments)
        except OSError as error:
            if error.errno in (errno.EPERM, errno.ENOSYS, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT):
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
    names |= {"connect_below": connect_below, "Denied": Denied, "Reached": Reached}
    names |= {call.__name__: call for call in (ask, judged, through, forwarded, socks, fetch, surely)}
    try:
        exec(code, names)  # noqa: S102 - our own table
    except Reached as error:
        return "reached", str(error)
    except (Denied, OSError) as error:
        return "denied", getattr(error, "strerror", None) or str(error)
    except BaseException as error:  # noqa: BLE001 - told to the test
        return "broken", repr(error)
    return "reached", ""


def alone(world, code):
    """The same in a process of its own: a copy of this one, since Python's start takes longer than most attempts."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        os.write(writing, json.dumps(attempt(world, code)).encode())
        os._exit(0)
    os.close(writing)
    said, deadline = b"", time.monotonic() + LIMIT_S
    while select.select([reading], [], [], max(0.0, deadline - time.monotonic()))[0]:
        part = os.read(reading, 1 << 16)
        if not part:
            break
        said += part
    else:
        os.kill(pid, signal.SIGKILL)
    os.close(reading)
    _, status = os.waitpid(pid, 0)
    if time.monotonic() > deadline:
        return "broken", f"not over after {LIMIT_S} s"
    return json.loads(said) if said else ("broken", f"ended by {os.waitstatus_to_exitcode(status)}")


def main():
    given = json.loads(pathlib.Path(sys.argv[1]).read_text())
    for name, code in given["attempts"].items():
        print("ATTEMPT", json.dumps([name, *alone(given["world"], code)]), flush=True)  # noqa: T201 - its answer
    print("ATTEMPTS-DONE", flush=True)  # noqa: T201 - its answer


main()
