"""The two small files that a shim writes about itself, each written atomically."""

import json
import os
from typing import Any

from drivers.shim.spec import EXIT, PID

_EXIT_BYTES = 4096


class Record:
    """Writes `pid.json` and `exit.json`. Space for the latter is reserved at the start, so it fits on a full disk."""

    def __init__(self, state_dir: str) -> None:
        self._pid = os.path.join(state_dir, PID)
        self._exit = os.path.join(state_dir, EXIT)
        _write(self._exit + ".new", " " * _EXIT_BYTES)
        if os.path.exists(self._exit):
            os.unlink(self._exit)

    def present(self, facts: dict[str, Any]) -> None:
        _write(self._pid + ".new", json.dumps(facts))
        os.replace(self._pid + ".new", self._pid)

    def ended(self, facts: dict[str, Any]) -> None:
        try:
            with open(self._exit + ".new", "r+") as file:
                file.write(json.dumps(facts).ljust(_EXIT_BYTES))
                file.flush()
                os.fsync(file.fileno())
            os.replace(self._exit + ".new", self._exit)
        except FileNotFoundError:  # the whole folder was removed: nobody needs it any more
            return


def load(path: str) -> dict[str, Any] | None:
    """The content of one of the files; None if it is missing or was damaged by a power cut."""
    try:
        with open(path) as file:
            facts = json.load(file)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return facts if isinstance(facts, dict) else None


def _write(path: str, text: str) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
