"""Chooses ports for instances; the instance records are the reservations."""

import random
import socket
from collections.abc import Sequence

from domain.errors import ErrorCode, TerminalError

ADDRESS = "127.0.0.1"
# Below Linux's range of ephemeral ports, so that outgoing connections never take one of these.
DEFAULT_PORTS = range(20000, 32000)
_TRIES = 500


def choose_port(ports: Sequence[int], reserved: set[int]) -> int:
    """A port that is neither reserved nor in use. Random, so that engines on one machine rarely choose the same.

    Raises:
        TerminalError: NO_FREE_PORT.
    """
    candidates = [port for port in ports if port not in reserved]
    for port in random.sample(candidates, min(_TRIES, len(candidates))):
        if is_free(port):
            return port
    raise TerminalError(
        f"No free port for another instance between {ports[0]} and {ports[-1]}: stop instances that are not needed.",
        code=ErrorCode.NO_FREE_PORT,
    )


def is_free(port: int) -> bool:
    """Whether no process listens on it or has bound it; closed connections do not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError:
            return False
    return True
