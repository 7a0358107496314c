"""Keeps a port reserved while the process that listens on it is down."""

import socket


class PortHold:
    """A socket that is bound and does not listen: connecting to the port is refused, and so is binding it.

    Best effort: a port in use cannot be held, and between `let_go` and the process's own bind the port is free. The
    engine therefore checks who listens (drivers/targets/process/listeners.py).
    """

    def __init__(self, port: int | None) -> None:
        self._port = port
        self._held: socket.socket | None = None

    def take(self) -> bool:
        """Hold the port; False if it is in use. Without a port there is nothing to hold."""
        if self._port is None or self._held is not None:
            return True
        held = socket.socket()
        try:
            # Only during the bind, since connections of the dead process may still be closing. Afterwards another
            # process with the same option must not be able to listen beside us.
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.bind(("127.0.0.1", self._port))
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        except OSError:
            held.close()
            return False
        self._held = held
        return True

    def let_go(self) -> None:
        """Release the port: the process is about to start."""
        if self._held is not None:
            self._held.close()
            self._held = None
