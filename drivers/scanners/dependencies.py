"""The scanner of dependencies: what lock files name, compared with advisories."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from domain.errors import TerminalError
from domain.findings import Package
from domain.lock_files.kinds import Kind, dependency_files, other_locks
from domain.lock_files.reading import Locked
from drivers.scanners.advisories import TOOL, Advisories
from drivers.scanners.base import Report, ScannerFaultError, Sources
from drivers.scanners.readers.lock_files import read_lock_file
from runtime.limited import CostLimitError, CostLimits, LimitedProcesses

MODULE: Final = "drivers.scanners.readers.lock_files"
"""For `LimitedProcesses`."""
LIMITS: Final = CostLimits(cpu_s=10, wall_s=120, memory_mb=1024, answer=32 * 1024 * 1024)
MAX_FILES: Final = 200
MAX_PACKAGES: Final = 50_000
MAX_COSTLY: Final = 3
"""Files that take more than the limits; then no further ones are read."""
NAMED: Final = 5


@dataclass
class _Read:
    """What the files say together."""

    packages: list[Package] = field(default_factory=list)
    unlocked: dict[str, int] = field(default_factory=dict)
    elsewhere: dict[str, int] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def add(self, path: str, told: Locked) -> None:
        self.packages += told.packages
        self.notices += told.notices
        if told.unlocked:
            self.unlocked[path] = told.unlocked
        if told.elsewhere:
            self.elsewhere[path] = told.elsewhere

    def said(self) -> list[str]:
        """What was left open, in words."""
        said = list(self.notices)
        if self.unlocked:
            said.append(f"versions of {_dependencies(self.unlocked)} are not locked, so nothing is known of them")
        if self.elsewhere:
            said.append(f"{_dependencies(self.elsewhere)} come from addresses or folders and were not looked at")
        return said


class Dependencies:
    """A `Scanner`. It starts no tool: lock files are read in processes with limits.

    Args:
        limited: has `MODULE` loaded.
        advisories: what is known of weaknesses.
    """

    name = TOOL

    def __init__(self, limited: LimitedProcesses, advisories: Advisories) -> None:
        self._limited = limited
        self._advisories = advisories

    def suits(self, sources: Sources) -> bool:
        """Whether there is a file that says what the dependencies are."""
        return bool(dependency_files(sources.files) or other_locks(sources.files))

    async def scan(self, sources: Sources, *, timeout_s: float) -> Report:
        """Packages, and findings as far as the advisories go.

        Raises:
            ScannerFaultError: it took too long.
        """
        try:
            async with asyncio.timeout(timeout_s):
                read = await self._read(sources)
                matched = await self._advisories.match(read.packages)
        except TimeoutError:
            raise ScannerFaultError(f"took longer than {timeout_s:.0f} s and was ended") from None
        faults = [*read.faults, *([matched.fault] if matched.fault else [])]
        return Report(
            findings=matched.findings,
            packages=tuple(read.packages),
            advisories_as_of=matched.as_of,
            notices=(*read.said(), *matched.notices),
            fault="; ".join(faults) or None,
        )

    async def _read(self, sources: Sources) -> _Read:
        read, costly = _Read(), 0
        files = dependency_files(sources.files)
        if others := other_locks(sources.files):
            read.notices.append(f"dependencies of these files are not looked at: {_some(others)}")
        if len(files) > MAX_FILES:
            read.faults.append(f"there are {len(files)} lock files; only the first {MAX_FILES} were read")
        for path, kind in files[:MAX_FILES]:
            try:
                read.add(path, await self._one(sources, path, kind))
            except TerminalError as error:
                read.faults.append(error.message)
            except CostLimitError as error:
                read.faults.append(f"{path}: {error}")
                costly += 1
            if costly == MAX_COSTLY or len(read.packages) > MAX_PACKAGES:
                read.faults.append("further lock files were not read: those before took too much, or named too many")
                break
        read.faults = [*read.faults[:NAMED], *(["and more"] if len(read.faults) > NAMED else [])]
        return read

    async def _one(self, sources: Sources, path: str, kind: Kind) -> Locked:
        try:
            return await self._limited.call(read_lock_file, str(sources.tree), path, kind, limits=LIMITS)
        except RuntimeError as error:  # a fault of ours, which an odd file brought out
            raise TerminalError(f"{path} cannot be read ({error})") from None


def _dependencies(counts: dict[str, int]) -> str:
    return f"{sum(counts.values())} dependencies ({_some(sorted(counts))})"


def _some(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
