"""The unix socket through which a process with its own network is reached; nobody else can listen on it."""

import os
import socket

# The file descriptor under which the process inherits it; its command line names it.
DESCRIPTOR = 3
_BACKLOG = 4096


class Door:
    """Created anew for each run of the process, which is then its only holder.

    So connections are refused at once while no process runs, as on a port without listener, and the router can use
    another instance. Untrusted code cannot access the folder.

    Args:
        path: at most 107 bytes; None: no socket.
    """

    def __init__(self, path: str | None) -> None:
        self._path = path

    def open(self) -> socket.socket | None:
        """The listening socket; atomically replaces the previous one.

        Raises:
            OSError: the folder is gone, or its disk is full.
        """
        if self._path is None:
            return None
        made = socket.socket(socket.AF_UNIX)
        fresh = f"{self._path}~"
        try:
            _unlink(fresh)
            made.bind(fresh)
            os.chmod(fresh, 0o660)
            made.listen(_BACKLOG)
            os.replace(fresh, self._path)
        except BaseException:
            made.close()
            raise
        return made

    def remove(self) -> None:
        """Remove it when the process has ended for good."""
        if self._path is not None:
            _unlink(self._path)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
