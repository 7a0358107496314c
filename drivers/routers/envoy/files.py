"""The folder that Envoy watches, and the paths of its files.

Files are written by `runtime.files.write_whole`: Envoy watches for the rename (inotify MOVED_TO), so it never reads a
partial file. A file that traffic waits for is synced later (`sync_files`): a power cut ends Envoy and all instances
too.
"""

import json
import math
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def sync_files(paths: Iterable[Path]) -> None:
    """Sync files that were written without a sync; a missing file is skipped."""
    for path in paths:
        with suppress(FileNotFoundError), path.open("rb") as file:
            os.fsync(file.fileno())


def age_s(path: Path) -> float:
    """Seconds since the file was written; infinite if it is missing."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return math.inf


def read_head(path: Path, size: int = 200) -> str:
    """The first characters of a file of ours; empty if it is missing."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(size)
    except FileNotFoundError:
        return ""


def stamp(path: Path) -> tuple[int, int, int] | None:
    """Differs for every file that was ever renamed onto the path; None if it is missing."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def read_text(path: Path) -> str | None:
    """The file's text, None if it is missing."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def to_json(document: Any) -> str:
    """JSON, with the same text for the same document."""
    return json.dumps(document, sort_keys=True, separators=(",", ":")) + "\n"


@dataclass(frozen=True)
class ConfigFolder:
    """The files in one folder. All paths are absolute, because Envoy's working directory is different."""

    root: Path

    @property
    def bootstrap(self) -> Path:
        return self.root / "bootstrap.json"

    @property
    def clusters(self) -> Path:
        return self.root / "cds.json"

    @property
    def routes(self) -> Path:
        return self.root / "rds.json"

    @property
    def state(self) -> Path:
        return self.root / "state.json"

    def make(self) -> None:
        """Create the folder, readable by its owner only."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
