"""Which TCP ports a process tree listens on, and which other processes listen there, from /proc."""

import os
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from drivers.shim import proc

_LISTEN = "0A"
# Listening sockets read from one table; no honest service has more.
_MOST = 20_000
# Local addresses, in the kernel's byte order, that a connection to 127.0.0.1 reaches.
_REACHED = frozenset(
    {
        "0100007F",
        "00000000",
        "00000000000000000000000000000000",
        "0000000000000000FFFF00000100007F",
        "0000000000000000FFFF000000000000",
    }
)


class Listener(NamedTuple):
    """`reachable`: a connection to 127.0.0.1 reaches it. `address`: the local one."""

    port: int
    reachable: bool
    address: str = ""


class ListeningSockets:
    """All listening TCP sockets at one moment. The kernel takes some 10 ms for this: read once for many trees."""

    def __init__(self, pid: int | None = None) -> None:
        """Of a process's network; None: of ours."""
        where = "self" if pid is None else str(pid)
        self._by_inode = dict(entry for table in ("tcp", "tcp6") for entry in _listening(where, table))
        self._reached: dict[int, set[str]] = {}
        for inode, listener in self._by_inode.items():
            if listener.reachable:
                self._reached.setdefault(listener.port, set()).add(inode)

    def held_by(self, pids: Iterable[int]) -> dict[str, Listener]:
        """Those that one of these processes holds, by inode; processes may vanish meanwhile."""
        inodes = {inode for pid in pids for inode in _sockets(pid)}
        return {inode: self._by_inode[inode] for inode in inodes if inode in self._by_inode}

    def besides(self, pid: int | None) -> set[Listener]:
        """Those that a process does not hold. No other process is read, however many there are."""
        its = set(_sockets(pid)) if pid is not None else set()
        return {listener for inode, listener in self._by_inode.items() if inode not in its}

    def reached_at(self, port: int) -> frozenset[str]:
        """Inodes of those that a connection to this port of 127.0.0.1 may reach, whoever holds them."""
        return frozenset(self._reached.get(port, ()))


_BRIDGE = "delivery-bridge"
# The sandbox's two processes and the bridge are the first ones below a shim.
_FIRST = 8
_STALE_S = 2.0
# The address that the bridge connects to in addition.
_BRIDGED = frozenset({"::1"})


class OwnNetwork:
    """The listeners in an instance's own network, except the bridge's.

    Args:
        inside: the first of its processes there, the sandbox's own first. Its code comes after the bridge, whatever
            name it takes.
    """

    def __init__(self, inside: Sequence[int]) -> None:
        bridge = next((pid for pid in inside if _name(pid) == _BRIDGE), None)
        self._held = ListeningSockets(inside[0]).besides(bridge) if inside else set()

    def listening(self, port: int) -> bool:
        """Whether the bridge, which connects to this port of 127.0.0.1 and ::1, finds a listener."""
        return any(each.port == port and self._met(each) for each in self._held)

    def elsewhere(self, port: int) -> tuple[int, ...]:
        """Other ports."""
        return tuple(sorted({each.port for each in self._held if each.port != port}))

    def unreachable_at(self, port: int) -> tuple[str, ...]:
        """Addresses with a listener on this port that the bridge does not reach."""
        return tuple(sorted({each.address for each in self._held if each.port == port and not self._met(each)}))

    @staticmethod
    def _met(each: Listener) -> bool:
        return each.reachable or each.address in _BRIDGED


class _Look(NamedTuple):
    sandbox: int
    in_use: str
    at: float
    found: OwnNetwork


class OwnNetworks:
    """Reads again when the number of TCP sockets there has changed, which is cheap to check, or after some time.

    Fifty starting instances are inspected twice a second each, mostly without any change. Thread-safe.
    """

    def __init__(self) -> None:
        self._known: dict[str, _Look] = {}

    def look(self, name: str, shim_pid: int) -> OwnNetwork:
        """The network of an instance, cached by its shim."""
        near = proc.descendants(shim_pid, _FIRST)
        inside = [pid for pid, depth in near.items() if depth > 1]  # the first process waits outside
        if not inside:
            return OwnNetwork(())
        in_use, known = _in_use(inside[0]), self._known.get(name)
        if known and (known.sandbox, known.in_use) == (inside[0], in_use) and time.monotonic() - known.at < _STALE_S:
            return known.found
        self._known[name] = _Look(inside[0], in_use, time.monotonic(), OwnNetwork(inside))
        return self._known[name].found

    def forget(self, name: str) -> None:
        self._known.pop(name, None)


def _in_use(pid: int) -> str:
    """Number of TCP sockets in its network."""
    lines: list[str] = []
    for file in ("sockstat", "sockstat6"):
        try:
            text = Path(f"/proc/{pid}/net/{file}").read_text()
        except OSError:
            continue
        lines += [line for line in text.splitlines() if line.startswith("TCP")]
    return " ".join(word for line in lines for word in line.split()[1:3])


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


class SocketsOfTheMoment:
    """One reading shared by all concurrent callers: fifty starting instances are fifty callers. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read: tuple[float, ListeningSockets] | None = None

    def get(self) -> ListeningSockets:
        """The present sockets: callers that wait for a reading in progress share the next one."""
        asked = time.monotonic()
        with self._lock:
            # A reading that began after the call is as good as the caller's own.
            if self._read is None or self._read[0] < asked:
                self._read = (time.monotonic(), ListeningSockets())
            return self._read[1]


def _sockets(pid: int) -> list[str]:
    """Inodes of the open sockets; a busy service opens and closes descriptors during the read."""
    try:
        names = os.listdir(f"/proc/{pid}/fd")  # noqa: PTH208 - hot path
    except OSError:
        return []
    targets = [_target(f"/proc/{pid}/fd/{name}") for name in names]
    return [target[len("socket:[") : -1] for target in targets if target.startswith("socket:[")]


def _target(link: str) -> str:
    try:
        return os.readlink(link)  # noqa: PTH115 - hot path
    except OSError:
        return ""


def _listening(pid: str, table: str) -> list[tuple[str, Listener]]:
    """Lines: index, local address:port, remote, state, ..., inode as the tenth field.

    The kernel lists listening sockets first: all others, which may be very many, are not read.
    """
    found: list[tuple[str, Listener]] = []
    try:
        with Path("/proc", pid, "net", table).open() as lines:
            next(lines, "")  # the header
            for line in islice(lines, _MOST):
                fields = line.split()
                if fields[3] != _LISTEN:
                    break
                address, port = fields[1].split(":")
                found.append((fields[9], Listener(int(port, 16), address in _REACHED, _address(address))))
    except OSError:  # a kernel without IPv6, or the process is gone
        return []
    return found


def _address(text: str) -> str:
    """The kernel prints 32-bit words in native byte order, in hexadecimal."""
    words = (int(text[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(text), 8))
    return str(ip_address(b"".join(words)))
