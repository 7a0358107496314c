"""The logs of what runs, where instances run on the machine of whoever reads: files below the data folder."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import UUID

from runtime.log_files import Moment, RawPiece, RotatedLog


class InstanceLog(Protocol):
    """The log of one instance. Offsets count bytes from its beginning, also over restarts."""

    def read(self, place: int, count: int) -> RawPiece: ...

    def bounds(self) -> tuple[int, int]: ...

    def moments(self, begin: int, end: int) -> Sequence[Moment]: ...

    def since(self, ms: int) -> int: ...


class InstanceLogs(Protocol):
    """The logs of the instances of releases, those that were stopped included as long as they are kept."""

    def instances(self, release_id: UUID) -> Sequence[str]:
        """Their ids, in order."""

    def log(self, release_id: UUID, instance_id: str) -> InstanceLog:
        """The log of one of them."""


@dataclass(frozen=True)
class FolderLogs:
    """As the process target keeps them (drivers/targets/process/folder.py, kept_logs.py)."""

    data_dir: Path

    def instances(self, release_id: UUID) -> Sequence[str]:
        is_one = re.compile(rf"{release_id}(-[A-Za-z0-9_.-]+)?-[0-9]+").fullmatch
        running = [path.name for path in self._running.glob(f"{release_id}-*") if is_one(path.name)]
        kept = [path.stem for path in self._kept(release_id).glob(f"{release_id}-*.log") if is_one(path.stem)]
        return sorted({*running, *kept}, key=_in_order)

    def log(self, release_id: UUID, instance_id: str) -> InstanceLog:
        running = self._running / instance_id / "service.log"
        # Before an instance that comes back has written anything, its folder has the older file alone.
        there = running.exists() or running.with_name("service.log.1").exists()
        return RotatedLog(running if there else self._kept(release_id) / f"{instance_id}.log")

    @property
    def _running(self) -> Path:
        return self.data_dir / "instances"

    def _kept(self, release_id: UUID) -> Path:
        return self.data_dir / "logs" / "instances" / str(release_id)


def _in_order(instance_id: str) -> tuple[str, int]:
    kind, _, index = instance_id.rpartition("-")
    return kind, int(index)
