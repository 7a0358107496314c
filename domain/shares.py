"""What the instances of one organization may take of a machine, all together: be allowed (`Share`), and use (`Use`)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """How many instances at once, and MiB of memory and disk that they may use at most (what each was allowed)."""

    instances: int = 0
    memory_mb: int = 0
    disk_mb: int = 0

    def plus(self, other: "Share", times: int = 1) -> "Share":
        """With so many more."""
        return Share(
            self.instances + times * other.instances,
            self.memory_mb + times * other.memory_mb,
            self.disk_mb + times * other.disk_mb,
        )

    def beyond(self, limit: "Share") -> str | None:
        """The name of what is more than the limit has of it; None: all of it fits."""
        names = ("instances", "memory_mb", "disk_mb")
        return next((name for name in names if getattr(self, name) > getattr(limit, name)), None)


# An instance counts for what it may use. Most use a small part of that (a service that says nothing may use 1 GiB), so
# that what an organization may use is so many times its machine: a dozen such services, and their next versions beside
# them, are welcome on one of 4 GiB.
OVERCOMMIT = 4
# Small machines are not asked to serve strangers, and shall run the demo and a handful of services.
LEAST_MEMORY_MB, LEAST_DISK_MB = 16_384, 262_144
# MiB of the machine for each instance: a small service takes some 50.
_MB_AN_INSTANCE, _LEAST_INSTANCES, _MOST_INSTANCES = 128, 32, 200


def share_of_machine(memory_mb: int, disk_mb: int) -> Share:
    """Default limits of an organization on one machine; MiB of memory and of the data folder's disk."""
    return Share(
        instances=max(_LEAST_INSTANCES, min(memory_mb // _MB_AN_INSTANCE, _MOST_INSTANCES)),
        memory_mb=max(LEAST_MEMORY_MB, OVERCOMMIT * memory_mb),
        disk_mb=max(LEAST_DISK_MB, OVERCOMMIT * disk_mb),
    )


@dataclass(frozen=True)
class Use:
    """What they may really use: MiB of memory and on disk, processes and threads, open files."""

    memory_mb: int
    disk_mb: int
    processes: int
    files: int


# Of the machine, for one organization: the others, and the engine, have at least the rest.
_HALF, _QUARTER = 2, 4
_LEAST_USED_MEMORY_MB, _LEAST_USED_DISK_MB = 2048, 8192


def use_of_machine(memory_mb: int, disk_mb: int, processes: int, files: int) -> Use:
    """What one organization may use of a machine that has so much."""
    return Use(
        memory_mb=max(_LEAST_USED_MEMORY_MB, memory_mb // _HALF),
        disk_mb=max(_LEAST_USED_DISK_MB, disk_mb // _HALF),
        processes=max(1, processes // _QUARTER),
        files=max(1, files // _QUARTER),
    )
