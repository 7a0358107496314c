"""The index of a mirror: one SQLite file with each package's advisories, so that a scan costs milliseconds.

Written aside by one process and renamed, never changed after that: readers need no locks, and one that reads while the
next index comes goes on with the old one.
"""

import json
import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from domain.advisories.record import Advisory, Record
from domain.findings import Ecosystem, Package
from domain.package_names import normal_name

FORMAT: Final = 1
"""Another one is made anew."""
MAX_OF_PACKAGE: Final = 2_000
"""Advisories that are looked at for one package; the largest have some hundred."""
_SCHEMA: Final = """
CREATE TABLE about (told TEXT NOT NULL);
CREATE TABLE advisories (
    ecosystem TEXT NOT NULL, name TEXT NOT NULL, id TEXT NOT NULL, modified TEXT NOT NULL, body BLOB NOT NULL
);
CREATE UNIQUE INDEX advisories_of_package ON advisories (ecosystem, name, id);
"""
# Of two copies the one that was changed later.
_INSERT: Final = """
INSERT INTO advisories (ecosystem, name, id, modified, body) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (ecosystem, name, id) DO UPDATE SET modified = excluded.modified, body = excluded.body
WHERE excluded.modified > advisories.modified
"""


class IndexFaultError(Exception):
    """The file is no index, or no longer one."""


class About(BaseModel):
    """What an index holds.

    Attributes:
        mark: of the mirror, when it was read.
        counts: advisories of each ecosystem.
        newest: when the newest one was changed (RFC 3339), of each ecosystem.
        unreadable: files that are no advisories.
        examples: some of these, with the reason.
    """

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    mark: str
    counts: dict[Ecosystem, int] = {}
    newest: dict[Ecosystem, str] = {}
    unreadable: int = 0
    examples: tuple[str, ...] = ()


class IndexWriter:
    """Fills a new index; `finish` puts it into its place."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        self._aside.unlink(missing_ok=True)
        self._database = sqlite3.connect(self._aside, isolation_level=None)
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -65536"):
            self._database.execute(f"PRAGMA {pragma}")
        self._database.executescript(_SCHEMA)
        self._database.execute("BEGIN")

    def add(self, record: Record) -> None:
        """An advisory, for each package that it is about."""
        for ecosystem, name, advisory in record.packages:
            body = zlib.compress(advisory.model_dump_json(exclude_defaults=True).encode(), 1)
            self._database.execute(_INSERT, (ecosystem, name, record.id, record.modified, body))

    def counts(self) -> dict[Ecosystem, int]:
        """Advisories of each ecosystem."""
        query = "SELECT ecosystem, COUNT(DISTINCT id) FROM advisories GROUP BY ecosystem"
        return {Ecosystem(ecosystem): count for ecosystem, count in self._database.execute(query)}

    def finish(self, about: About) -> None:
        """On the disk, then under its name."""
        self._database.execute("INSERT INTO about VALUES (?)", (about.model_dump_json(),))
        self._database.execute("COMMIT")
        self._database.close()
        with self._aside.open("rb") as file:
            os.fsync(file.fileno())
        self._aside.replace(self._path)

    def drop(self) -> None:
        """Leave nothing behind."""
        self._database.close()
        self._aside.unlink(missing_ok=True)


class Index:
    """An index that is read. Each call opens the file anew: there may be a newer one."""

    def __init__(self, path: Path, about: About) -> None:
        self._path = path
        self.about = about

    @classmethod
    def open(cls, path: Path) -> Self | None:
        """None: there is none, or only one of another format.

        Raises:
            IndexFaultError: there is one that is broken.
        """
        if not path.exists():
            return None
        try:
            with closing(_connect(path)) as database:
                told = json.loads(database.execute("SELECT told FROM about").fetchone()[0])
        except (sqlite3.Error, TypeError, ValueError) as error:
            raise IndexFaultError(str(error)[:200]) from None
        return cls(path, About.model_validate(told)) if told.get("format") == FORMAT else None

    def look_up(self, packages: Iterable[Package]) -> Iterator[tuple[Package, list[Advisory]]]:
        """Each package with the advisories of its name; of `MAX_OF_PACKAGE + 1` the last one says: there are more.

        Raises:
            IndexFaultError: the file is broken.
        """
        query = "SELECT body FROM advisories WHERE ecosystem = ? AND name = ? LIMIT ?"
        try:
            with closing(_connect(self._path)) as database:
                last: tuple[str, str] | None = None
                advisories: list[Advisory] = []
                for package in packages:
                    key = package.ecosystem, normal_name(package.ecosystem, package.name)
                    if key != last:  # of one package in many versions they are read once
                        rows = database.execute(query, (*key, MAX_OF_PACKAGE + 1))
                        advisories = [Advisory.model_validate_json(zlib.decompress(body)) for (body,) in rows]
                        last = key
                    yield package, advisories
        except (sqlite3.Error, zlib.error, ValidationError, TypeError) as error:
            raise IndexFaultError(str(error)[:200]) from None


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
