"""The folders of one stack: everything under one data folder, but unix sockets, whose paths must be short."""

import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from domain.errors import DependencyError
from runtime import returning
from runtime.settings import Settings
from runtime.stack import writable

WRITTEN = ("artifacts", "egress", "envoy", "instances", "postgres", "workspaces")
"""Folders of the parts; each is made by whom it belongs to."""


@dataclass(frozen=True)
class Layout:
    """Where things are.

    Args:
        data: the data folder; all state of the stack.
        sockets: short 0700 folder; its content is worth nothing once the stack is down.
    """

    data: Path
    sockets: Path

    @classmethod
    def make(cls, settings: Settings) -> Self:
        """Make what is missing.

        Raises:
            DependencyError: the data folder, or one for sockets, cannot be used; the message says what to do.
        """
        data = settings.data_dir.absolute()
        with writable.explained(data):
            return cls._make(settings, data)

    @classmethod
    def _make(cls, settings: Settings, data: Path) -> Self:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        data = data.resolve()
        for folder in (data / "logs", data / "run", data / "secrets"):
            folder.mkdir(mode=0o700, exist_ok=True)
        home = data / "run" / "home.json"
        if _remembered(home).get("data") != str(data):  # new, or a copy of another stack's folder
            shutil.rmtree(data / "run" / "parts", ignore_errors=True)
            home.unlink(missing_ok=True)
        (data / "run" / "parts").mkdir(mode=0o700, exist_ok=True)
        sockets = _sockets(settings, data, home)
        _remember(home, {"data": str(data), "sockets": str(sockets)})
        return cls(data, sockets)

    def check_writable(self) -> None:
        """Raises `DependencyError` when something of the data folder cannot be written; its message says what to do."""
        ours = (self.logs, self.run, self.secrets, *(self.data / name for name in WRITTEN))
        writable.check(self.data, *(folder for folder in ours if folder.is_dir()))

    @property
    def logs(self) -> Path:
        return self.data / "logs"

    @property
    def run(self) -> Path:
        return self.data / "run"

    @property
    def secrets(self) -> Path:
        return self.data / "secrets"

    @property
    def envoy_config(self) -> Path:
        return self.data / "envoy"

    @property
    def admin_socket(self) -> Path:
        return self.sockets / "envoy" / "admin.sock"

    def drop_sockets(self) -> None:
        """Remove the folder of sockets when no process listens; the next start makes it again."""
        shutil.rmtree(self.sockets, ignore_errors=True)

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    @property
    def services(self) -> Path:
        """Where the worker tells how many services serve."""
        return self.run / returning.NAME

    def mark(self, name: str) -> str:
        """Names a part among all processes of the machine; a folder keeps its marks when moved, a copy has others."""
        found = self.data.stat()
        return f"{name}@{found.st_dev:x}.{found.st_ino:x}"

    def record(self, name: str) -> Path:
        """Where the pid of a part is written down."""
        return self.run / "parts" / f"{name}.json"


def private_folder(folder: Path) -> Path:
    """Make a folder of sockets, again if need be: it is in a shared folder that others may clear while we run.

    Raises:
        DependencyError: another user made it meanwhile.
    """
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise DependencyError(f"{folder} belongs to somebody else now: stop the stack, remove it, start the stack")
    return folder


def _sockets(settings: Settings, data: Path, home: Path) -> Path:
    """Raises `DependencyError` when there can be none."""
    try:
        return _sockets_folder(settings, data, home)
    except OSError as error:
        raise DependencyError(
            f"no folder for unix sockets can be made: {error}; set DELIVERY_RUNTIME_DIR to a short folder that this "
            "user may write"
        ) from error


def _sockets_folder(settings: Settings, data: Path, home: Path) -> Path:
    """The folder of the setting, the remembered one, or a new one named after the data folder."""
    if settings.runtime_dir is not None:
        settings.runtime_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        return settings.runtime_dir.absolute()
    name = f"delivery-{hashlib.sha256(str(data).encode()).hexdigest()[:10]}"
    wanted = Path(_remembered(home).get("sockets") or Path(tempfile.gettempdir()) / name)
    wanted.mkdir(mode=0o700, exist_ok=True)
    if _private(wanted):
        return wanted
    return Path(tempfile.mkdtemp(prefix=f"{name}-"))  # another user took the name in the shared folder


def _remember(home: Path, facts: Mapping[str, str]) -> None:
    """Write it whole or not at all: with half a file the folder looks like a copy, and what runs there is forgotten."""
    if _remembered(home) != facts:
        partial = home.with_name(f"{home.name}.{os.getpid()}")
        partial.write_text(json.dumps(facts))
        partial.replace(home)


def _private(folder: Path) -> bool:
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) == 0o700  # noqa: PLR2004 - a file mode


def _remembered(home: Path) -> dict[str, str]:
    try:
        content = json.loads(home.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
