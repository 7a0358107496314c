"""The unix socket by which a process with a network of its own is reached: its identity, which nobody can take over."""

import os
import socket

# The descriptor at which the process finds it; its command line says so.
DESCRIPTOR = 3
_BACKLOG = 4096


class Door:
    """Made anew for each run of the process, which alone holds it then.

    So whoever connects while none runs is refused at once, as with a port where nobody listens, and may be served by
    another instance. The folder is one that strangers cannot enter.

    Args:
        path: at most 107 bytes; None: there is no door.
    """

    def __init__(self, path: str | None) -> None:
        self._path = path

    def open(self) -> socket.socket | None:
        """The listening socket, in the place of the one before in a single step.

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
        """The process has ended for good."""
        if self._path is not None:
            _unlink(self._path)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
