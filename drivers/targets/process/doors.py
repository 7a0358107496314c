"""The folder of the unix sockets by which instances with networks of their own are reached."""

import hashlib
import stat
from dataclasses import dataclass
from pathlib import Path

from domain import wire
from domain.errors import ErrorCode, TerminalError

# A release's id and the index of one of its instances; longer names are given a shorter one.
_LONG = 48


@dataclass(frozen=True)
class Doors:
    """Nobody but the engine and its router may enter the folder: who can dial a socket there gets past the router.

    Its path is short (a socket's has 107 bytes) and stays the same as long as instances run.
    """

    folder: Path

    def of(self, instance_id: str) -> str:
        """The path of an instance's socket, always the same.

        Raises:
            TerminalError: BUILD_ISOLATION_UNAVAILABLE, it would be too long.
        """
        name = instance_id if len(instance_id) <= _LONG else hashlib.sha256(instance_id.encode()).hexdigest()[:40]
        path = str(self.folder.absolute() / name)
        if fault := wire.socket_fault(f"{path}~"):  # the shim makes it under that name
            raise TerminalError(
                f"the path of an instance's unix socket {fault}: set DELIVERY_RUNTIME_DIR to a shorter folder",
                code=ErrorCode.BUILD_ISOLATION_UNAVAILABLE,
            )
        return path

    def make(self) -> None:
        """Make the folder where it is missing; one that the operator made keeps its group.

        Raises:
            TerminalError: BUILD_ISOLATION_UNAVAILABLE, others may enter it.
        """
        self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        if stat.S_IMODE(self.folder.stat().st_mode) & stat.S_IRWXO:
            raise TerminalError(
                f"everybody on this machine may enter {self.folder}, where the sockets of instances are: take the "
                "rights of others away (chmod o-rwx)",
                code=ErrorCode.BUILD_ISOLATION_UNAVAILABLE,
            )

    @staticmethod
    def remove(path: str) -> None:
        """What a killed shim left."""
        Path(path).unlink(missing_ok=True)

    @staticmethod
    def exists(path: str) -> bool:
        return Path(path).exists()
