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
    """What must outlive every process. No environment: it may hold secrets, and each start brings it anew.

    `place` is where in its repository the artifact was built, and so where the instance sees it; `search_path` is its
    PATH. `address`: of an interface, or the path of the unix socket it is reached by.
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
        """It has a network of its own and is reached by a unix socket."""
        return self.address.startswith("/")


@dataclass(frozen=True)
class InstanceFolder:
    """Names the files; `app` is the unpacked artifact and the working directory."""

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
        """What the build installed below its HOME; not there when it installed nothing."""
        return self.path / "built-home"

    @property
    def home(self) -> Path:
        return self.built_home if self.built_home.is_dir() else self.path / "home"

    @property
    def tmp(self) -> Path:
        return self.path / "tmp"

    @property
    def scratch(self) -> tuple[Path, ...]:
        """What is empty at each start."""
        return (self.tmp,) if self.built_home.is_dir() else (self.home, self.tmp)

    def record(self) -> InstanceRecord | None:
        """None when the instance was never started here, or its file is no record: then its next start makes one."""
        try:
            stored = json.loads((self.path / "instance.json").read_bytes())
            return InstanceRecord(**known_to(InstanceRecord, stored))
        except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
            return None

    def write(self, record: InstanceRecord) -> None:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(self.path / "instance.json", json.dumps(asdict(record)), sync=False)

    def prepare(self) -> None:
        """HOME and TMPDIR of a fresh start; a HOME that came with the artifact is kept."""
        came_along = self.app / PACKED_HOME
        if came_along.is_dir() and not came_along.is_symlink():
            remove_tree(self.built_home)  # of an attempt that was cut short
            came_along.rename(self.built_home)
        for folder in self.scratch:
            remove_tree(folder)
            folder.mkdir(mode=0o700)

    def remove(self) -> None:
        """The record goes first: what has none is no instance, and what is left of it is cleared by the next start."""
        (self.path / "instance.json").unlink(missing_ok=True)
        forget(self.tmp)
        remove_tree(self.path)
