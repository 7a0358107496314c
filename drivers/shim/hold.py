"""Keeps a port from strangers while the process that listens there is down."""

import socket


class PortHold:
    """A socket that is bound and does not listen: whoever connects is refused, whoever wants to listen there, too.

    Best effort: a port that somebody has already cannot be held, and from `let_go` until the process listens itself it
    is free. The engine therefore looks at who listens (drivers/targets/process/listeners.py).
    """

    def __init__(self, port: int | None) -> None:
        self._port = port
        self._held: socket.socket | None = None

    def take(self) -> bool:
        """Hold the port; False when somebody has it. Without a port there is nothing to hold."""
        if self._port is None or self._held is not None:
            return True
        held = socket.socket()
        try:
            # Only for the moment of binding: connections of the process that died still close. Afterwards nobody who
            # sets the same option may listen beside us.
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.bind(("127.0.0.1", self._port))
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        except OSError:
            held.close()
            return False
        self._held = held
        return True

    def let_go(self) -> None:
        """The process is about to be started."""
        if self._held is not None:
            self._held.close()
            self._held = None
