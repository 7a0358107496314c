"""A time of day that jumps, for the processes that are started with it: what is measured must not be measured by it."""

import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")
COMPILE_SECONDS = 60.0


class MovedClock:
    """Moves the clock of processes that have `environment`; servers that get one of their own keep the machine's."""

    def __init__(self, folder: Path) -> None:
        self._library = folder / "moved_clock.so"
        self._seconds = folder / "moved-by"
        command = ["cc", "-shared", "-fPIC", "-o", str(self._library), str(SOURCE)]
        subprocess.run(command, check=True, timeout=COMPILE_SECONDS)
        self._seconds.write_bytes(struct.pack("q", 0))

    @property
    def environment(self) -> Mapping[str, str]:
        return {"LD_PRELOAD": str(self._library), "CLOCK_MOVED_BY": str(self._seconds)}

    def set(self, seconds: int) -> None:
        """So far from the machine's clock, from now on."""
        with self._seconds.open("r+b") as file:  # in place: it is in everybody's memory
            file.write(struct.pack("q", seconds))
