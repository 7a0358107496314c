"""Limits of an organization's instances on a machine: of the sum of their limits (`Share`), of real usage (`Use`)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """Number of instances, and the sums of their memory and disk limits in MiB."""

    instances: int = 0
    memory_mb: int = 0
    disk_mb: int = 0

    def plus(self, other: "Share", times: int = 1) -> "Share":
        """With one more group of instances."""
        return Share(
            self.instances + times * other.instances,
            self.memory_mb + times * other.memory_mb,
            self.disk_mb + times * other.disk_mb,
        )

    def beyond(self, limit: "Share") -> str | None:
        """The name of an exceeded limit; None: all are kept."""
        names = ("instances", "memory_mb", "disk_mb")
        return next((name for name in names if getattr(self, name) > getattr(limit, name)), None)


# An instance counts with its limits. Most use a small part of them (the default is 1 GiB), so an organization may
# reserve a multiple of the machine: a dozen services, and their next versions beside them, fit on a machine of 4 GiB.
OVERCOMMIT = 4
# Small machines serve no untrusted tenants, and must run the demo and a handful of services.
LEAST_MEMORY_MB, LEAST_DISK_MB = 16_384, 262_144
# MiB of the machine per instance: a small service uses about 50.
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
    """Limits of real usage: MiB of memory and on disk, processes and threads, open files."""

    memory_mb: int
    disk_mb: int
    processes: int
    files: int


# The parts of the machine for one organization: the others, and the engine, keep at least the rest.
_HALF, _QUARTER = 2, 4
_LEAST_USED_MEMORY_MB, _LEAST_USED_DISK_MB = 2048, 8192


def use_of_machine(memory_mb: int, disk_mb: int, processes: int, files: int) -> Use:
    """One organization's usage limits on a machine of this size."""
    return Use(
        memory_mb=max(_LEAST_USED_MEMORY_MB, memory_mb // _HALF),
        disk_mb=max(_LEAST_USED_DISK_MB, disk_mb // _HALF),
        processes=max(1, processes // _QUARTER),
        files=max(1, files // _QUARTER),
    )
