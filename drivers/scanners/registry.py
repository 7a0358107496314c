"""Which scanners run here, and one scan by all that suit."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import structlog

from domain.errors import DeliveryError, ErrorCode, TerminalError
from domain.findings import MAX_FINDINGS, Finding, Package, ScanResult, Severity, ToolRun, counts_of
from drivers.folders import finish_in_thread
from drivers.scanners import listing
from drivers.scanners.base import MAX_FAULT, Report, Scanner, ScannerFaultError, ScanOrder, Sources, names
from drivers.scanners.on_path import RECIPES, OnPath
from drivers.scanners.process import ToolProcesses
from drivers.scanners.tools import Bandit, DetectSecrets, Hadolint, LimitedReader, SarifReports
from runtime.limited import LimitedProcesses

log = structlog.get_logger(__name__)

# For `LimitedProcesses`: what reads the results of tools.
MODULES: Final = tuple(
    f"drivers.scanners.readers.{name}"
    for name in ("own", "hadolint", "sarif", "semgrep", "dependencies", "govulncheck")
)
_ORDER = {severity: place for place, severity in enumerate(Severity)}


class Scanners:
    """The scanners of a worker.

    Args:
        scanners: those that are installed and that the operator lets run.
        always: what reads the build's own reports, whatever `scan.tools` says.
    """

    def __init__(self, scanners: Sequence[Scanner], always: Sequence[Scanner] = ()) -> None:
        self._scanners = tuple(scanners)
        self._always = tuple(always)

    @property
    def available(self) -> tuple[str, ...]:
        return tuple(scanner.name for scanner in self._scanners)

    async def scan(self, order: ScanOrder) -> ScanResult:
        """Run what suits, one after another. A tool's fault is a `ToolRun` with `fault`, never an exception.

        Raises:
            TerminalError: SPEC_INVALID: `order.tools` names a scanner that there is not.
        """
        chosen = self._chosen(order.tools)
        order = replace(order, tree=order.tree.resolve(), root=(order.root or order.tree).resolve())
        seen = await finish_in_thread(listing.listed, order.tree)
        sources = Sources(order, seen.files)
        deadline = time.monotonic() + order.timeout_s
        runs: list[tuple[ToolRun, Report]] = []
        for scanner in (*chosen, *self._always):
            if scanner.suits(sources):
                runs.append(await _run(scanner, sources, deadline))  # noqa: PERF401 - one after another
        left_out = [each for each in self._scanners if each not in chosen and each.suits(sources)]
        said = [f"scan.tools leaves out: {names(left_out)}"] if left_out else []
        return _result(runs, [*said, *seen.notices])

    def _chosen(self, wanted: Sequence[str]) -> list[Scanner]:
        unknown = sorted(set(wanted) - set(self.available))
        if unknown:
            raise TerminalError(
                f"scan.tools in delivery.yaml names {', '.join(map(repr, unknown))}; on this engine there are: "
                f"{names(self._scanners)}",
                code=ErrorCode.SPEC_INVALID,
            )
        return [scanner for scanner in self._scanners if not wanted or scanner.name in wanted]


async def _run(scanner: Scanner, sources: Sources, deadline: float) -> tuple[ToolRun, Report]:
    began = time.monotonic()
    report = await _report(scanner, sources, deadline - began)
    run = ToolRun(
        tool=scanner.name,
        version=report.version[:64],
        duration_ms=int((time.monotonic() - began) * 1000),
        findings=len(report.findings),
        fault=report.fault[:MAX_FAULT] if report.fault else None,
    )
    log.info("scan.tool", key=sources.order.key, **run.model_dump())
    return run, report


async def _report(scanner: Scanner, sources: Sources, left_s: float) -> Report:
    if left_s <= 0:
        return Report(fault="it was not begun: the scanners before it took all of the time in scan.timeout")
    try:
        async with asyncio.timeout(left_s + 60):  # scanners keep to their time themselves
            return await scanner.scan(sources, timeout_s=left_s)
    except ScannerFaultError as error:
        return Report(fault=f"it {error}")
    except TimeoutError:
        return Report(fault=f"it took longer than {left_s:.0f} s and was ended")
    except DeliveryError as error:
        return Report(fault=error.message)
    except Exception as error:  # one scanner's fault must not take the others' findings away
        log.exception("scan.tool_failed", tool=scanner.name, key=sources.order.key)
        return Report(fault=f"it failed by a fault of the engine's ({type(error).__name__}); its log says more")


def _result(runs: Sequence[tuple[ToolRun, Report]], notices: Iterable[str]) -> ScanResult:
    reports = [report for _, report in runs]
    found: dict[str, Finding] = {}
    for finding in sorted((each for report in reports for each in report.findings), key=_worst_first):
        found.setdefault(finding.fingerprint, finding)
    packages: dict[Package, None] = dict.fromkeys(each for report in reports for each in report.packages)
    said = list(dict.fromkeys([*notices, *(words for report in reports for words in report.notices)]))
    if len(found) > MAX_FINDINGS:
        said.append(f"{len(found)} findings: only the worst {MAX_FINDINGS} are kept")
    return ScanResult(
        findings=tuple(found.values())[:MAX_FINDINGS],
        packages=tuple(packages),
        tools=tuple(run for run, _ in runs),
        advisories_as_of=max((each.advisories_as_of for each in reports if each.advisories_as_of), default=None),
        notices=tuple(said),
        found=counts_of(finding.severity for finding in found.values()) if len(found) > MAX_FINDINGS else {},
    )


def _worst_first(finding: Finding) -> tuple[int, float, str]:
    return _ORDER[finding.severity], -(finding.cvss_score or 0), finding.fingerprint


def select_scanners(
    wanted: str,
    *,
    processes: ToolProcesses,
    limited: LimitedProcesses,
    data: Path | None = None,
    others: Sequence[Scanner] = (),
) -> Scanners:
    """The scanners of a worker. One that is named and not at hand says so in each scan, as its fault.

    Args:
        wanted: the setting `DELIVERY_SCANNERS`: `all` (the engine's own, and others that are at hand), `none`, or names
            with commas between.
        processes: where tools run.
        limited: has `MODULES` loaded.
        data: the setting `DELIVERY_SCANNER_DATA`.
        others: that are no tools, such as the one that compares dependencies with advisories.

    Raises:
        ValueError: a name that no scanner has.
    """
    reader = LimitedReader(limited)
    ours: list[Scanner] = [each(processes, reader) for each in (DetectSecrets, Bandit, Hadolint)]
    on_path = [OnPath(recipe, processes, reader, data) for recipe in RECIPES]
    known = [*ours, *others, *on_path]
    always = (SarifReports(limited),)
    if wanted.strip() in ("all", "none"):
        at_hand = [*ours, *others, *(each for each in on_path if each.at_hand)]
        return Scanners(at_hand if wanted.strip() == "all" else (), always)
    asked = {name.strip() for name in wanted.split(",") if name.strip()}
    unknown = sorted(asked - {each.name for each in known})
    if unknown or not asked:
        raise ValueError(
            f"DELIVERY_SCANNERS names {', '.join(map(repr, unknown)) or 'nothing'}; "
            f"there are: all, none, {names(known)}"
        )
    return Scanners([scanner for scanner in known if scanner.name in asked], always)
