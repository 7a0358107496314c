"""A sandbox's own network, connected to the outside only by the bridge: its settings for the sandbox and the bridge."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from drivers.bridge.program import program
from drivers.shim.door import DESCRIPTOR

# Path inside the sandbox.
BRIDGE = "/delivery/bridge"
_WAYS = "/delivery/ways"
_PROBE_TIMEOUT_S = 10


@lru_cache(maxsize=1)
def available() -> bool:
    """Whether network namespaces can be created here. Checked once per process. Raises as `program`."""
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
    """A way out: connections to `address`:`port` inside are joined to a unix socket outside.

    Attributes:
        address: a loopback address other than 127.0.0.1, which is the service's.
        port: any, including those below 1024.
        socket: absolute. Its folder is mounted inside, so that a recreated socket is found. The folder must not contain
            anything else that the code may not reach.
        asks: host:port for a CONNECT to the HTTP proxy at the socket; empty: no CONNECT.
    """

    address: str
    port: int
    socket: Path
    asks: str = ""


@dataclass(frozen=True)
class Network:
    """The network besides loopback.

    Attributes:
        serves: the port inside that is reachable through the shim's door (`ShimSpec.door`); None: no way in.
        forwards: the ways out.
        hosts: addresses by name, for /etc/hosts inside.
        files: contents by path, for programs that are configured by a file.
        proxied: one of the ways out is a proxy, which programs find by variables (`drivers.egress.inside`).
    """

    serves: int | None = None
    forwards: Sequence[Forward] = ()
    hosts: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    proxied: bool = False

    @property
    def around(self) -> tuple[str, ...]:
        """The command line prefix before the sandbox's own: it starts the sandbox in the network."""
        return (str(program()), "--network")

    @property
    def sandbox(self) -> tuple[str, ...]:
        """Arguments for bubblewrap."""
        seen = {folder: place for place, folder in self._folders().items()}
        return (
            *("--ro-bind", str(program().resolve()), BRIDGE),
            *(word for folder, place in seen.items() for word in ("--ro-bind", str(folder), place)),
        )

    @property
    def before(self) -> tuple[str, ...]:
        """The command line prefix before the command's own."""
        places = {folder: place for place, folder in self._folders().items()}
        ways = [self._way(each, places[each.socket.parent]) for each in self.forwards]
        inward = () if self.serves is None else ("--in", f"{DESCRIPTOR}:{self.serves}")
        return (BRIDGE, *inward, *(word for way in ways for word in ("--out", way)), "--")

    def _folders(self) -> dict[str, Path]:
        """Folders of sockets, by their paths inside."""
        folders = dict.fromkeys(each.socket.parent for each in self.forwards)
        return {f"{_WAYS}/{number}": folder for number, folder in enumerate(folders)}

    @staticmethod
    def _way(each: Forward, place: str) -> str:
        address = f"[{each.address}]" if ":" in each.address else each.address
        way = f"{address}:{each.port}:{place}/{each.socket.name}"
        return f"{way}:{each.asks}" if each.asks else way
