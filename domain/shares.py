"""What the instances of one organization may take of a machine, all together."""

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
