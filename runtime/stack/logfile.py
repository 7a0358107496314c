"""A part's log file: written by the part itself, kept small by the supervisor."""

import shutil
from pathlib import Path

MAX_BYTES = 20 * 1024 * 1024


def rotate(path: Path, max_bytes: int = MAX_BYTES) -> bool:
    """Move a grown log to `<name>.1`; returns whether it did.

    Copied and truncated in place, because the part holds the file open (in append mode) and must not need
    the supervisor to be able to write: a pipe would break with a killed supervisor. Lines written between
    copy and truncation are lost.
    """
    try:
        if path.stat().st_size <= max_bytes:
            return False
    except FileNotFoundError:
        return False
    shutil.copyfile(path, path.with_name(path.name + ".1"))
    with path.open("r+b") as file:
        file.truncate(0)
    return True


def tail(path: Path, lines: int = 15, max_bytes: int = 16_384) -> str:
    """The last lines of a log, for an error message."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - max_bytes))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
