"""The folder of the unix sockets of instances with their own networks."""

import hashlib
import stat
from dataclasses import dataclass
from pathlib import Path

from domain import wire
from domain.errors import ErrorCode, TerminalError

# A release id and an instance index; longer names are shortened.
_LONG = 48


@dataclass(frozen=True)
class Doors:
    """Only the engine and its router may access the folder: a connection to a socket there bypasses the router.

    Its path is short (a socket's is limited to 107 bytes) and stays the same as long as instances run.
    """

    folder: Path

    def of(self, instance_id: str) -> str:
        """The path of an instance's socket, always the same.

        Raises:
            TerminalError: BUILD_ISOLATION_UNAVAILABLE, it would be too long.
        """
        name = instance_id if len(instance_id) <= _LONG else hashlib.sha256(instance_id.encode()).hexdigest()[:40]
        path = str(self.folder.absolute() / name)
        if fault := wire.socket_fault(f"{path}~"):  # the shim creates it under that name
            raise TerminalError(
                f"the path of an instance's unix socket {fault}: set DELIVERY_RUNTIME_DIR to a shorter folder",
                code=ErrorCode.BUILD_ISOLATION_UNAVAILABLE,
            )
        return path

    def make(self) -> None:
        """Create the folder if it is missing; one that the operator created keeps its group.

        Raises:
            TerminalError: BUILD_ISOLATION_UNAVAILABLE, others may access it.
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
        """Remove what a killed shim left."""
        Path(path).unlink(missing_ok=True)

    @staticmethod
    def exists(path: str) -> bool:
        return Path(path).exists()
