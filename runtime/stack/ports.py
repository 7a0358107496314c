"""Ports: chosen once, remembered, and looked at again before each start."""

import json
import random
import socket
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from domain.errors import DependencyError
from runtime.files import write_whole

INTERNAL = ("api_internal", "worker_internal")
"""Where Prometheus reads; stacks that were started before there were such have none remembered."""
NAMES = ("api", "temporal", "temporal_ui", "temporal_http", "temporal_metrics", "ingress", *INTERNAL)
_RANGE = range(20_000, 29_000)  # below Linux's ephemeral ports, so that no outgoing connection sits on one of ours
_ATTEMPTS = 500


def remembered(path: Path) -> dict[str, int]:
    """The ports of the last start; empty when there was none."""
    try:
        content = json.loads(path.read_text())
        return {name: int(content[name]) for name in NAMES if name in content or name not in INTERNAL}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def choose(path: Path, fixed: Mapping[str, int], held: Collection[str] = ()) -> dict[str, int]:
    """A free port for every name: the one set, the remembered one while it is free, a new one.

    Args:
        path: where they are remembered.
        fixed: ports named by settings; 0 means any.
        held: names whose remembered port is in use by a part of ours that stays.

    Raises:
        DependencyError: a port named by a setting is taken.
    """
    before = remembered(path)
    chosen: dict[str, int] = {}
    for name in NAMES:
        if name in held:
            chosen[name] = before[name]
        elif fixed.get(name):
            chosen[name] = _checked(name, fixed[name])
        else:
            chosen[name] = _free(before.get(name), taken=set(chosen.values()) | set(fixed.values()))
    write_whole(path, json.dumps(chosen, indent=2), sync=False)
    return chosen


def is_free(port: int) -> bool:
    """Whether the port is free; checked on all addresses, because a process may listen on all."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # old connections in TIME_WAIT do not count
        try:
            listener.bind(("", port))
        except OSError:
            return False
    return True


def holder(port: int) -> str:
    """Who listens there, for people."""
    with suppress(psutil.Error, OSError):
        for found in psutil.net_connections(kind="tcp"):
            if found.status == psutil.CONN_LISTEN and found.laddr and found.laddr.port == port and found.pid:
                return f"process {found.pid} ({psutil.Process(found.pid).name()})"
    return "another program"


def _free(preferred: int | None, taken: Collection[int]) -> int:
    if preferred is not None and preferred not in taken and is_free(preferred):
        return preferred
    pick = random.SystemRandom()
    for _ in range(_ATTEMPTS):
        port = pick.choice(_RANGE)
        if port not in taken and is_free(port):
            return port
    raise DependencyError(f"no free port between {_RANGE.start} and {_RANGE.stop}; stop what holds them")


def _checked(name: str, port: int) -> int:
    if not is_free(port):
        raise DependencyError(
            f"port {port} for {name} is taken by another program; stop it (`ss -ltnp 'sport = :{port}'` names it) "
            "or set another port"
        )
    return port
