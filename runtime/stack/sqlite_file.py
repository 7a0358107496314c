"""Temporal's SQLite file: one that cannot be read is set aside, so that the engine comes up and tells what was lost."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

_TABLE = "executions"
_LIMIT_S = 5.0
_STEPS = 10_000  # of SQLite's virtual machine between two looks at the clock
_BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def fault(path: Path) -> str | None:
    """What is wrong with the file; None: nothing that was found within five seconds, or there is no file."""
    if not path.exists():
        return None
    try:
        with closing(sqlite3.connect(path, timeout=1)) as connection:
            deadline = time.monotonic() + _LIMIT_S
            connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
            return _look(connection)
    except sqlite3.DatabaseError as error:
        # Locked, no room on the disk, out of time: that is no damage.
        return str(error) if (error.sqlite_errorcode & 0xFF) in _BROKEN else None


def set_aside(path: Path) -> Path:
    """Rename it, with its journal, to an unused name; returns where it is now."""
    aside = path.with_name(f"{path.name}.broken-{time.strftime('%Y%m%dT%H%M%S')}-{time.monotonic_ns() % 1000:03}")
    for suffix in ("-wal", "-shm", ""):
        source = path.with_name(path.name + suffix)
        if source.exists():
            source.rename(aside.with_name(aside.name + suffix))
    return aside


def _look(connection: sqlite3.Connection) -> str | None:
    tables = connection.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?", (_TABLE,))
    if not tables.fetchone()[0]:
        return f"it has no table {_TABLE}"
    [verdict] = connection.execute("PRAGMA quick_check(1)").fetchone()
    return None if verdict == "ok" else str(verdict)
