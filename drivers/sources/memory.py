"""Secrets for programs that only read files: memory files for our child processes, gone when closed."""

import fcntl
import os
from types import TracebackType
from typing import Self


class MemoryFile:
    """A sealed `memfd` (Linux), never on a disk; `path` is readable by processes of our user only.

    Inheriting the descriptor does not work: ssh closes all inherited ones.
    """

    def __init__(self, content: bytes) -> None:
        self._descriptor = os.memfd_create("delivery", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.fchmod(self._descriptor, 0o400)  # ssh refuses keys that others could read
            while content:
                content = content[os.write(self._descriptor, content) :]
            seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
            fcntl.fcntl(self._descriptor, fcntl.F_ADD_SEALS, seals)
        except BaseException:
            os.close(self._descriptor)
            raise

    @property
    def path(self) -> str:
        """Its path for a child while it is open."""
        return f"/proc/{os.getpid()}/fd/{self._descriptor}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)
