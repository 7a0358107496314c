"""The operator's maximum limits of one build or one instance; a project may request less, never more."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Ceiling:
    """Limits of all its processes together.

    Attributes:
        memory_mb: MiB; shared pages count once.
        processes: processes and threads at once.
        disk_mb: MiB of its folders on disk, and of a single file.
        cpus: CPUs, enforced if the machine supports it; None: all.
        open_files: open files of each process, including sockets.
    """

    memory_mb: int = 8192
    processes: int = 1024
    disk_mb: int = 10240
    cpus: float | None = None
    open_files: int = 8192

    def lowered(
        self, *, memory_mb: int | None = None, processes: int | None = None, disk_mb: int | None = None
    ) -> "Ceiling":
        """With the project's requested limits where these are lower; None: nothing requested."""
        return Ceiling(
            memory_mb=min(self.memory_mb, memory_mb or self.memory_mb),
            processes=min(self.processes, processes or self.processes),
            disk_mb=min(self.disk_mb, disk_mb or self.disk_mb),
            cpus=self.cpus,
            open_files=self.open_files,
        )


DEFAULT_CEILING = Ceiling()
