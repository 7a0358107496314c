"""A build's folders for files that are neither source nor result."""

import os
from dataclasses import dataclass
from pathlib import Path

from drivers.folders import remove_tree
from drivers.shim.faults import disk_full_reported


@dataclass(frozen=True)
class PrivateFolders:
    """`<checkout>.private`, beside the checkout so that it never gets into an artifact.

    HOME is kept from the build to the tests of one workspace, TMPDIR starts empty. Removing the folder that contains
    the workspace removes them too.
    """

    root: Path

    @classmethod
    def of(cls, checkout: Path) -> "PrivateFolders":
        return cls(checkout.with_name(checkout.name + ".private"))

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def tmp(self) -> Path:
        return self.root / "tmp"

    @property
    def state(self) -> Path:
        return self.root / "state"

    def prepare(self) -> None:
        """Raises `TerminalError(DISK_FULL)`."""
        remove_tree(self.tmp)
        remove_tree(self.state)
        with disk_full_reported(self.root):
            for folder in (self.home, self.tmp, self.state):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def last_step(self) -> int:
        """Index of the step that was started last. The build can write this file: never trust it, nor follow a link."""
        try:
            descriptor = os.open(self.state / STEP_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return 0
        with os.fdopen(descriptor, "rb") as file:
            text = file.read(16).strip()
        return int(text) if text.isdigit() else 0


STEP_FILE = "step"
