"""Keeps the end of an instance's log when the instance is removed, and restores it when it starts again."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from drivers.shim.times import SUFFIX, end_of
from drivers.targets.process.folder import InstanceFolder
from runtime.files import PRIVATE, write_whole

# Bytes kept of each removed instance.
KEPT_BYTES = 256 * 1024
OLDER = ".1"


@dataclass(frozen=True)
class KeptLogs:
    """`<root>/<release id>/<instance id>.log` with its times; without a root nothing is kept."""

    root: Path | None

    def keep(self, folder: InstanceFolder) -> None:
        """Keep the end of an instance's log. If that fails (a full disk) it is lost; the instance is removed anyway."""
        record = folder.record()
        if self.root is None or record is None:
            return
        kept = self._of(record.release_id, record.instance_id)
        try:
            if data := _end(folder.log):
                kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                _write(kept, data, list(_times(folder.log)), _end_of(folder.log) or len(data))
        except (OSError, ValueError):
            kept.unlink(missing_ok=True)

    def give_back(self, folder: InstanceFolder, release_id: str) -> None:
        """Before a stopped instance starts again: its log continues where it was."""
        if self.root is None or folder.log.exists():
            return
        kept, older = self._of(release_id, folder.path.name), _with(folder.log, OLDER)
        if kept.is_file():
            folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            for ending in (SUFFIX, ""):
                if (part := _with(kept, ending)).exists():
                    part.replace(_with(older, ending))

    def _of(self, release_id: str, instance_id: str) -> Path:
        return (self.root or Path()) / release_id / f"{instance_id}.log"


def _with(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _end_of(log: Path) -> int | None:
    """The offset after both files; an instance that returned but never started has only the older one."""
    return end_of(str(log if log.exists() else _with(log, OLDER)))


def _end(log: Path) -> bytes:
    """The last bytes of both files."""
    newer = _tail(log, KEPT_BYTES)
    return _tail(_with(log, OLDER), KEPT_BYTES - len(newer)) + newer


def _tail(path: Path, most: int) -> bytes:
    if path.is_symlink() or not path.is_file():
        return b""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - most))
        return file.read(most) if most else b""


def _times(log: Path) -> Iterator[tuple[int, int]]:
    for path in (_with(log, OLDER), log):
        if (end_of(str(path))) is not None:
            for line in _with(path, SUFFIX).read_bytes().splitlines():
                offset, ms, *_ = map(int, line.split())
                yield offset, ms


def _write(kept: Path, data: bytes, times: list[tuple[int, int]], end: int) -> None:
    base = end - len(data)
    before = [ms for offset, ms in times if offset <= base]
    write_whole(kept, data, sync=False, mode=PRIVATE)
    if times:
        begin = f"{base} {before[-1] if before else times[0][1]} {kept.stat().st_ino}\n"
        rest = "".join(f"{offset} {ms}\n" for offset, ms in times if offset > base)
        write_whole(_with(kept, SUFFIX), begin + rest, sync=False, mode=PRIVATE)
