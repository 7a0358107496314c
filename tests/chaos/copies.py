"""Copies of the two databases of a stack, taken and put back while it is down."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from tests.chaos.records import Records
from tests.support.platform import Platform

COPY_SECONDS = 120.0


class Database(StrEnum):
    """PostgreSQL has the record, Temporal the workflows."""

    POSTGRES = "postgres"
    TEMPORAL = "temporal"


class Copies:
    """Both databases as they were at one moment.

    Args:
        platform: the running stack.
        records: its database, read by the test.
        folder: where the copies are kept; each is taken once.
    """

    def __init__(self, platform: Platform, records: Records, folder: Path) -> None:
        self._platform = platform
        self._records = records
        self._folder = folder

    def take(self) -> None:
        """Stop the stack, copy both, start it again."""
        with self._down():
            for which in Database:
                (self._folder / which).mkdir()
                for path in self._paths(which):
                    _copy(path, self._folder / which)

    def put_back(self, which: Database) -> None:
        """Stop the stack, have one of them as it was, start it again."""
        with self._down():
            for path in self._paths(which):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            for path in (self._folder / which).iterdir():
                _copy(path, self._home(which))

    def _home(self, which: Database) -> Path:
        return self._records.postgres_data.parent if which is Database.POSTGRES else self._records.layout.data

    def _paths(self, which: Database) -> list[Path]:
        if which is Database.POSTGRES:
            return [self._records.postgres_data]
        return list(self._records.layout.data.glob("temporal.db*"))

    @contextmanager
    def _down(self) -> Iterator[None]:
        self._platform.close_connections()
        self._platform.stack.down()
        self._records.close()
        yield
        self._platform.start()


def _copy(path: Path, folder: Path) -> None:
    """With owners and modes: PostgreSQL runs as another user when we are root."""
    subprocess.run(["cp", "-a", str(path), str(folder)], check=True, timeout=COPY_SECONDS)
