"""The folder Envoy watches: where each file is, and the only way it is written."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domain.errors import ErrorCode, TerminalError

RELEASE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


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

    @property
    def endpoints_folder(self) -> Path:
        return self.root / "eds"

    def endpoints(self, release_id: str) -> Path:
        """One file a release.

        Raises:
            TerminalError: ROUTE_REJECTED, when the id could not be a file's name.
        """
        if not RELEASE_ID.fullmatch(release_id):
            raise TerminalError(
                f"release id {release_id[:80]!r} cannot be routed to: letters, digits, - and _ only, at most 64",
                code=ErrorCode.ROUTE_REJECTED,
            )
        return self.endpoints_folder / f"{release_id}.json"

    def make(self) -> None:
        """Create the folders, readable by their owner only."""
        for folder in (self.root, self.endpoints_folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
