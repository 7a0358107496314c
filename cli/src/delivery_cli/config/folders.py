"""Where the CLI keeps what it must remember (XDG), and how it writes it: whole, and for its user alone."""

import os
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TextIO

from delivery_cli.faults import Fault, UsageFault

PRIVATE: Final = 0o600
PRIVATE_FOLDER: Final = 0o700
PATIENCE: Final = 90.0
"""Seconds for another process that holds a lock: a renewal takes two requests of 30 s at most."""


def config_folder() -> Path:
    """`$XDG_CONFIG_HOME/delivery`, by default `~/.config/delivery`."""
    return _folder("XDG_CONFIG_HOME", ".config")


def state_folder() -> Path:
    """`$XDG_STATE_HOME/delivery`, by default `~/.local/state/delivery`: locks, nothing that is missed."""
    return _folder("XDG_STATE_HOME", ".local/state")


def _folder(variable: str, usual: str) -> Path:
    named = os.environ.get(variable, "")
    if named.startswith("/"):  # the specification: a relative one is ignored
        return Path(named) / "delivery"
    try:
        return Path.home() / usual / "delivery"
    except RuntimeError as error:
        raise UsageFault("nobody's home: HOME is not set", f"set HOME or {variable}") from error


def read_private(path: Path) -> str:
    """Its text, empty if it is not there. A mode that lets others read is mended, with a warning."""
    try:
        with path.open(encoding="utf-8") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                os.fchmod(file.fileno(), PRIVATE)
                sys.stderr.write(f"warning: {path} was readable by others; it is not any more. Rotate what is in it.\n")
            return file.read()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise UsageFault(f"cannot read {path}: {error}", "mend its rights, or move it away and log in again") from error


def write_private(path: Path, text: str) -> None:
    """Replace it whole; never readable by others, not even for a moment."""
    try:
        path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # 0600
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            with suppress(OSError):
                Path(name).unlink()
            raise
    except OSError as error:
        raise UsageFault(f"cannot write {path}: {error.strerror}", "is its folder yours, and is there room?") from error


@contextmanager
def only_one(name: str) -> Iterator[None]:
    """One process at a time: a refresh token is used once, and two commands may need a new one together."""
    folder = state_folder()
    try:
        folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        lock = (folder / f"{name}.lock").open("w")
    except OSError as error:
        raise UsageFault(f"cannot write in {folder}: {error.strerror}") from error
    with lock:
        until = time.monotonic() + PATIENCE
        while not _held(lock):
            if time.monotonic() > until:
                raise Fault(
                    f"another `delivery` has held {lock.name} for {PATIENCE:g} s",
                    "is one stopped (Ctrl-Z), or does it hang? End it, then repeat",
                    retryable=True,
                )
            time.sleep(0.05)
        yield


def _held(lock: TextIO) -> bool:
    import fcntl

    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
