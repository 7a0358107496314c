"""What the operator lets one build or one instance use at most; a project may ask for less, never for more."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Ceiling:
    """For all processes together.

    Attributes:
        memory_mb: MiB; pages that processes share count once.
        processes: processes and threads at once.
        disk_mb: MiB that its folders take on disk, and of a single file.
        cpus: processors that it may keep busy, where the machine lets us see to it; None: all.
        open_files: of each of its processes at once, sockets included.
    """

    memory_mb: int = 8192
    processes: int = 1024
    disk_mb: int = 10240
    cpus: float | None = None
    open_files: int = 8192

    def lowered(
        self, *, memory_mb: int | None = None, processes: int | None = None, disk_mb: int | None = None
    ) -> "Ceiling":
        """With what a project asked for, as far as that is less; None: it asked for nothing."""
        return Ceiling(
            memory_mb=min(self.memory_mb, memory_mb or self.memory_mb),
            processes=min(self.processes, processes or self.processes),
            disk_mb=min(self.disk_mb, disk_mb or self.disk_mb),
            cpus=self.cpus,
            open_files=self.open_files,
        )


DEFAULT_CEILING = Ceiling()
