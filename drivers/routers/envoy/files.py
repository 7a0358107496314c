"""The folder Envoy watches: where each file is, and the only way it is written."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def write_atomically(path: Path, text: str) -> None:
    """Write a whole file by renaming a finished one onto it in the same folder.

    Envoy watches for the rename (inotify MOVED_TO), so it never reads half a file; the sync before it keeps a power
    cut from leaving an empty one.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def read_text(path: Path) -> str | None:
    """The file's text, None when there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def to_json(document: Any) -> str:
    """JSON, the same text for the same document."""
    return json.dumps(document, sort_keys=True, separators=(",", ":")) + "\n"


@dataclass(frozen=True)
class ConfigFolder:
    """The files under one folder. All paths are absolute, because Envoy's working folder is not ours."""

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
