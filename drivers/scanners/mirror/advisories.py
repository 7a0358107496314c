"""Advisories of a mirror folder: works without the internet."""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import structlog

from domain.advisories.matching import Judged, judge
from domain.advisories.record import Advisory
from domain.findings import MAX_FINDINGS, Ecosystem, Package
from drivers.scanners.advisories import Matched, notices_of
from drivers.scanners.mirror.files import MirrorError, mark_of
from drivers.scanners.mirror.index import MAX_OF_PACKAGE, Index, IndexFaultError
from drivers.scanners.mirror.indexing import Outcome

log = structlog.get_logger(__name__)

ROOT: Final = Path(__file__).resolve().parents[3]
FRESH_S: Final = 10.0
"""A scan waits that long for an index of the mirror's newest state when there is an older one."""
FIRST_S: Final = 1800.0
"""And that long when there is none."""
RETRY_S: Final = 60.0
_SHARE: Final = 30  # of the time at most a part in so many goes into looking whether the mirror has changed
_MAX_ANSWER: Final = 1 << 20


class MirrorAdvisories:
    """Advisories of a folder, by an index that is made anew when the folder has changed.

    Several workers may share the index's folder. The last good index goes on being used while the mirror is broken.

    Args:
        mirror: as OSV publishes it.
        folder: of the index; on this machine.
        max_age_days: advisories that are older than that are worth a notice.
        today: the time.
        fresh_s: seconds that a scan waits for the newest state when there is an older one.
        make: makes an index of a mirror; None: in a process of its own.
    """

    def __init__(
        self,
        mirror: Path,
        folder: Path,
        *,
        max_age_days: int,
        today: Callable[[], datetime] = lambda: datetime.now(UTC),
        fresh_s: float = FRESH_S,
        make: Callable[[Path, Path], Awaitable[str | None]] | None = None,
    ) -> None:
        self._mirror = mirror
        self._path = folder / "index.sqlite"
        self._max_age = timedelta(days=max_age_days)
        self._today = today
        self._fresh_s = fresh_s
        self._make_index = make or make_index
        self._share = _SHARE
        self._indexing: asyncio.Task[str | None] | None = None
        self._failed: tuple[str, str, float] | None = None  # the mirror's mark, the fault, and when
        self._mark = ""
        self._look_again = 0.0

    async def match(self, packages: Sequence[Package]) -> Matched:
        """By the newest index that there is."""
        index, notice = await self._index()
        if index is None:
            log.warning("advisories.mirror_unusable", mirror=str(self._mirror), fault=notice)
            return Matched(fault=f"the mirror of advisories cannot be used: {notice}")
        if notice is not None:
            log.warning("advisories.mirror_not_current", mirror=str(self._mirror), fault=notice)
        notices = [] if notice is None else [f"the mirror of advisories: {notice}; older advisories were used"]
        try:
            judged, crowded = await asyncio.to_thread(_judge, index, packages)
        except IndexFaultError as error:
            self._path.unlink(missing_ok=True)  # made anew by the next scan
            return Matched(fault=f"the index of advisories is broken: {error}; it is made anew")
        here = sorted({package.ecosystem for package in packages})
        newest = [index.about.newest[each] for each in here or index.about.newest if each in index.about.newest]
        return Matched(
            findings=judged.findings[:MAX_FINDINGS],
            as_of=min(newest, default=None),
            fault=_fault(index, here, packages, crowded) or judged.fault,
            notices=(*notices, *self._old(index, here), *_notices(index, judged)),
        )

    async def close(self) -> None:
        """End the making of an index; the next worker begins again."""
        if self._indexing is not None:
            self._indexing.cancel()
            await asyncio.gather(self._indexing, return_exceptions=True)

    async def _index(self) -> tuple[Index | None, str | None]:
        """The index; and why it is not of the mirror's state now, or why there is none."""
        try:
            mark = await self._marked()
        except MirrorError as error:
            return self._opened(), str(error)
        index = self._opened()
        if index is not None and index.about.mark == mark:
            return index, None
        if self._failed and self._failed[0] == mark and time.monotonic() - self._failed[2] < RETRY_S:
            return index, self._failed[1]
        fault = await self._make(mark, self._fresh_s if index else FIRST_S)
        return self._opened(), fault

    async def _marked(self) -> str:
        """Looked at again after a multiple of the time that it took: for a folder of many files that is a second."""
        if time.monotonic() >= self._look_again:
            began = time.monotonic()
            self._mark = await asyncio.to_thread(mark_of, self._mirror)
            took = time.monotonic() - began
            self._look_again = began + took + took * self._share
        return self._mark

    def _opened(self) -> Index | None:
        try:
            return Index.open(self._path)
        except IndexFaultError:
            self._path.unlink(missing_ok=True)
            return None

    async def _make(self, mark: str, limit_s: float) -> str | None:
        """Why the newest state cannot be used, or None. Whoever comes meanwhile waits for the same process."""
        if self._indexing is None or self._indexing.done():
            self._indexing = asyncio.create_task(self._run(mark))
        done, _ = await asyncio.wait((self._indexing,), timeout=limit_s)
        if not done:
            return "its newest state is being indexed"
        return self._indexing.result()

    async def _run(self, mark: str) -> str | None:
        fault = await self._make_index(self._mirror, self._path)
        self._failed = (mark, fault, time.monotonic()) if fault else None
        return fault

    def _old(self, index: Index, here: Sequence[Ecosystem]) -> list[str]:
        now = self._today()
        ages = {
            each: now - datetime.fromisoformat(index.about.newest[each]) for each in here if each in index.about.newest
        }
        return [
            f"the newest advisory of {each} is {age.days} days old: what became known since is not found; refresh the "
            "mirror of advisories"
            for each, age in ages.items()
            if age > self._max_age
        ]


async def make_index(mirror: Path, index: Path) -> str | None:
    """In a process with limits. The fault, or None."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-E", "-s", "-m", "drivers.scanners.mirror.indexing", os.fspath(mirror), os.fspath(index)),
        cwd=ROOT,
        env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=_MAX_ANSWER,
    )
    try:
        async with asyncio.timeout(2 * FIRST_S):
            assert process.stdout is not None  # noqa: S101 - for the type checker
            told = await process.stdout.read(_MAX_ANSWER)
            await process.wait()
            return Outcome.model_validate_json(told).fault
    except TimeoutError:
        return "making its index takes too long"
    except ValueError:
        return f"making its index was ended ({process.returncode}): it takes too much time or memory"
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _judge(index: Index, packages: Sequence[Package]) -> tuple[Judged, list[str]]:
    """In a thread. The second: packages with more advisories than are looked at."""
    crowded: list[str] = []

    def found() -> Iterator[tuple[Package, Sequence[Advisory]]]:
        for package, advisories in index.look_up(packages):
            if len(advisories) > MAX_OF_PACKAGE:
                crowded.append(package.name)
            yield package, advisories

    return judge(found()), list(dict.fromkeys(crowded))


def _fault(index: Index, here: Sequence[Ecosystem], packages: Sequence[Package], crowded: Sequence[str]) -> str | None:
    if missing := [each for each in here if not index.about.counts.get(each)]:
        count = sum(package.ecosystem in missing for package in packages)
        return f"the mirror holds no advisories of {' and '.join(missing)}: {count} packages were not looked at"
    if crowded:
        return f"more than {MAX_OF_PACKAGE} advisories tell of {crowded[0]}: not all of them were looked at"
    return None


def _notices(index: Index, judged: Judged) -> list[str]:
    about = index.about
    told = []
    if about.unreadable:
        told.append(
            f"{about.unreadable} files of the mirror are no advisories that can be read, as {about.examples[0]}"
        )
    return told + notices_of(judged)
