"""The folder of one instance: `<root>/<instance_id>/` with its record, state, log and private folders."""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from domain.errors import CallerError
from domain.stored import known_to
from drivers.artifacts.base import PACKED_HOME
from drivers.folders import remove_tree
from drivers.place import forget
from drivers.targets.process.ports import ADDRESS
from runtime.files import write_whole

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True)
class InstanceRecord:
    """Facts that must outlive every process. No environment: it may contain secrets, and each start passes it again.

    `place` is the artifact's path in its repository, and so its path in the instance; `search_path` is its PATH.
    `address`: of an interface, or the path of its unix socket.
    """

    instance_id: str
    release_id: str
    artifact_digest: str
    port: int
    isolated: bool
    place: str = "."
    search_path: str = ""
    address: str = ADDRESS

    @property
    def has_door(self) -> bool:
        """It has a network of its own and is reached through a unix socket."""
        return self.address.startswith("/")


@dataclass(frozen=True)
class InstanceFolder:
    """The paths of its files; `app` is the unpacked artifact and the working directory."""

    path: Path

    @classmethod
    def of(cls, root: Path, instance_id: str) -> "InstanceFolder":
        """Raises `CallerError` for an id that could lead out of the root."""
        if not _ID.fullmatch(instance_id):
            raise CallerError(f"{instance_id!r} cannot be an instance id: letters, digits, '.', '_' and '-' only.")
        return cls(root / instance_id)

    @property
    def state(self) -> Path:
        return self.path / "shim"

    @property
    def log(self) -> Path:
        return self.path / "service.log"

    @property
    def app(self) -> Path:
        return self.path / "app"

    @property
    def built_home(self) -> Path:
        """The files that the build installed below its HOME; missing if there are none."""
        return self.path / "built-home"

    @property
    def home(self) -> Path:
        return self.built_home if self.built_home.is_dir() else self.path / "home"

    @property
    def tmp(self) -> Path:
        return self.path / "tmp"

    @property
    def scratch(self) -> tuple[Path, ...]:
        """Folders that are emptied at each start."""
        return (self.tmp,) if self.built_home.is_dir() else (self.home, self.tmp)

    def record(self) -> InstanceRecord | None:
        """None if the instance was never started here, or its file is invalid: then its next start writes one."""
        try:
            stored = json.loads((self.path / "instance.json").read_bytes())
            return InstanceRecord(**known_to(InstanceRecord, stored))
        except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
            return None

    def write(self, record: InstanceRecord) -> None:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(self.path / "instance.json", json.dumps(asdict(record)), sync=False)

    def prepare(self) -> None:
        """Prepare HOME and TMPDIR for a fresh start; a HOME that came with the artifact is kept."""
        came_along = self.app / PACKED_HOME
        if came_along.is_dir() and not came_along.is_symlink():
            remove_tree(self.built_home)  # left by an interrupted attempt
            came_along.rename(self.built_home)
        for folder in self.scratch:
            remove_tree(folder)
            folder.mkdir(mode=0o700)

    def remove(self) -> None:
        """The record is removed first: a folder without one is no instance, and its next start cleans up the rest."""
        (self.path / "instance.json").unlink(missing_ok=True)
        forget(self.tmp)
        remove_tree(self.path)
