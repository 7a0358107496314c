"""`python -m drivers.scanners.mirror.indexing MIRROR INDEX`: makes the index of a mirror anew, in a process of its own.

It reads what came through many hands, and it takes minutes for hundreds of thousands of advisories: so it has limits of
memory and time, and a worker goes on with its work meanwhile. It prints one JSON object, an `Outcome`.
"""

import contextlib
import os
import resource
import sqlite3
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from domain.advisories.record import Record
from domain.findings import Ecosystem
from drivers.scanners.mirror.files import MirrorError, entries, mark_of
from drivers.scanners.mirror.index import About, Index, IndexFaultError, IndexWriter
from runtime.files import open_lock, try_lock

MEMORY: Final = 2 << 30
CPU_S: Final = 3600
LOCK_S: Final = 1800.0
LOCK_POLL_S: Final = 0.2
EXAMPLES: Final = 5
_NICENESS: Final = 10
_SHRUNK, _MANY = 2, 100


class Outcome(BaseModel):
    """`fault`: why there is no new index."""

    model_config = ConfigDict(frozen=True)

    fault: str | None = None


def main(mirror: Path, index: Path) -> Outcome:
    """Make it, unless another process has just done so."""
    index.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = open_lock(index.with_suffix(".lock"))
    try:
        if not _wait(descriptor):
            return Outcome(fault="another process has been making the index for too long")
        for left in index.parent.glob(f".{index.name}.*.tmp"):  # of a process that was killed
            left.unlink(missing_ok=True)
        return _index(mirror, index)
    except MirrorError as error:
        return Outcome(fault=str(error))
    except MemoryError:
        return Outcome(fault=f"it needs more than {MEMORY >> 20} MiB of memory")
    except (OSError, sqlite3.OperationalError) as error:
        return Outcome(fault=f"the index cannot be written: {getattr(error, 'strerror', None) or error}")
    finally:
        os.close(descriptor)


def _wait(descriptor: int) -> bool:
    end = time.monotonic() + LOCK_S
    while not try_lock(descriptor):
        if time.monotonic() > end:
            return False
        time.sleep(LOCK_POLL_S)
    return True


def _index(mirror: Path, path: Path) -> Outcome:
    mark = mark_of(mirror)
    before = _previous(path)
    if before is not None and before.mark == mark:
        return Outcome()
    writer = IndexWriter(path)
    try:
        about = _fill(writer, mirror, mark)
        if fault := _doubt(about, before):
            return Outcome(fault=fault)
        writer.finish(about)
    finally:
        writer.drop()
    return Outcome()


def _previous(path: Path) -> About | None:
    try:
        found = Index.open(path)
    except IndexFaultError:
        return None
    return found.about if found else None


def _fill(writer: IndexWriter, mirror: Path, mark: str) -> About:
    newest: dict[Ecosystem, str] = {}
    examples: list[str] = []
    unreadable = 0
    # One from the future would hide that all the others are old.
    latest = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    for entry in entries(mirror):
        try:
            record = Record.parse(entry.read())
        except FileNotFoundError:
            continue  # it is being replaced: then the mirror's mark is another one by now
        except (ValueError, OSError, RecursionError) as error:
            unreadable += 1
            if len(examples) < EXAMPLES:
                examples.append(f"{entry.name}: {_words(error)}"[:300])
            continue
        writer.add(record)
        for ecosystem, _, _ in record.packages:
            if newest.get(ecosystem, "") < record.modified <= latest:
                newest[ecosystem] = record.modified
    counts = writer.counts()
    return About(mark=mark, counts=counts, newest=newest, unreadable=unreadable, examples=tuple(examples))


def _doubt(about: About, before: About | None) -> str | None:
    """Why this can be no whole mirror: one that is being filled lacks most, and would make much look clean."""
    if not about.counts:
        found = f"; {about.unreadable} files cannot be read: {about.examples[0]}" if about.examples else ""
        return f"it holds no advisories of {', '.join(Ecosystem)}{found}"
    for ecosystem, count in before.counts.items() if before else ():
        now = about.counts.get(ecosystem, 0)
        if count > _MANY and now * _SHRUNK < count:
            return (
                f"it holds {now} advisories of {ecosystem}, and held {count} before: if that is meant, remove the "
                "folder advisories of the worker's data folder"
            )
    return None


def _words(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return str(error).partition("\n")[0] or type(error).__name__


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)


if __name__ == "__main__":
    _limit()
    print(main(Path(sys.argv[1]), Path(sys.argv[2])).model_dump_json())  # noqa: T201 - its answer
