"""A network of its own, which only holds what the bridge brings in: how the sandbox and the bridge are told of it."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from drivers.bridge.program import program
from drivers.shim.door import DESCRIPTOR

# Inside.
BRIDGE = "/delivery/bridge"
_WAYS = "/delivery/ways"
_PROBE_TIMEOUT_S = 10


@lru_cache(maxsize=1)
def available() -> bool:
    """Whether networks can be made here. Tried once per process. Raises as `program`."""
    try:
        done = subprocess.run(
            [str(program()), "--network", "/bin/sh", "-c", "true"],
            capture_output=True,
            timeout=_PROBE_TIMEOUT_S,
            check=False,
            env={},
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


@dataclass(frozen=True)
class Forward:
    """A way out: who connects to `address`:`port` inside is joined to a unix socket outside.

    Attributes:
        address: a loopback address. Not 127.0.0.1: there the service is.
        port: any, those below 1024 included.
        socket: absolute; the folder it lies in is seen inside, so that a socket that is made anew is found. Nothing
            may lie there besides that the code is not to reach.
        asks: host:port that the HTTP proxy at the socket is asked to connect to first; empty: nothing is asked.
    """

    address: str
    port: int
    socket: Path
    asks: str = ""


@dataclass(frozen=True)
class Network:
    """What there is besides loopback.

    Attributes:
        serves: the port inside that is reached by the shim's door (`ShimSpec.door`); None: nobody comes in.
        forwards: the ways out.
        hosts: addresses by name, for its /etc/hosts.
        files: contents by path, for programs that are told of a way out by a file.
        proxied: one of the ways out is a proxy, of which programs are told (`drivers.egress.inside`).
    """

    serves: int | None = None
    forwards: Sequence[Forward] = ()
    hosts: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    proxied: bool = False

    @property
    def around(self) -> tuple[str, ...]:
        """The words before the sandbox's own: it is started in the network."""
        return (str(program()), "--network")

    @property
    def sandbox(self) -> tuple[str, ...]:
        """For bubblewrap."""
        seen = {folder: place for place, folder in self._folders().items()}
        return (
            *("--ro-bind", str(program().resolve()), BRIDGE),
            *(word for folder, place in seen.items() for word in ("--ro-bind", str(folder), place)),
        )

    @property
    def before(self) -> tuple[str, ...]:
        """The words before the command's own."""
        places = {folder: place for place, folder in self._folders().items()}
        ways = [self._way(each, places[each.socket.parent]) for each in self.forwards]
        inward = () if self.serves is None else ("--in", f"{DESCRIPTOR}:{self.serves}")
        return (BRIDGE, *inward, *(word for way in ways for word in ("--out", way)), "--")

    def _folders(self) -> dict[str, Path]:
        """Folders of sockets, by where they are inside."""
        folders = dict.fromkeys(each.socket.parent for each in self.forwards)
        return {f"{_WAYS}/{number}": folder for number, folder in enumerate(folders)}

    @staticmethod
    def _way(each: Forward, place: str) -> str:
        address = f"[{each.address}]" if ":" in each.address else each.address
        way = f"{address}:{each.port}:{place}/{each.socket.name}"
        return f"{way}:{each.asks}" if each.asks else way
