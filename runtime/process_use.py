"""What this process uses of its machine: processor time, memory."""

import hashlib
import socket
import time
from pathlib import Path
from typing import Final

import psutil

from domain.metric_counts import HostUse
from runtime.machine import measured, processors

_MIB: Final = 1024 * 1024


class ProcessUse:
    """Of this process alone; builds and instances are processes of their own and no part of it.

    Args:
        name: of this process, for good.
        folder: any that exists; for the size of the machine.
    """

    def __init__(self, name: str, folder: Path = Path("/")) -> None:
        self._name = name
        self._host = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:16]
        self._process = psutil.Process()
        self.cores = processors()
        self.memory_mb = float(measured(folder).memory_mb)
        self._then = time.monotonic(), time.process_time()

    def take(self) -> HostUse:
        """Since the last time, or since this was made."""
        (then, cpu_then), self._then = self._then, (time.monotonic(), time.process_time())
        seconds = self._then[0] - then
        return HostUse(
            process=self._name,
            host=self._host,
            seconds=seconds,
            cpu_s=self._then[1] - cpu_then,
            cores=self.cores,
            memory_mb_s=self._process.memory_info().rss / _MIB * seconds,
            memory_total_mb=self.memory_mb,
        )
