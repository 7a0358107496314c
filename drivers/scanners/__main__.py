"""`python -m drivers.scanners FOLDER [--scanners NAMES] [--data FOLDER] [--sarif FILE]`: a scan as deliveries have it.

Ends with 1 where a scanner has no result, and with 2 where nothing can run. Dependencies are not looked at: their
advisories belong to a worker.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from domain.findings import ScanResult, counts_of
from domain.sarif import sarif_of
from drivers import sandbox
from drivers.scanners.base import ScanOrder
from drivers.scanners.process import ToolProcesses
from drivers.scanners.registry import MODULES, select_scanners
from runtime.limited import LimitedProcesses


async def scan(arguments: argparse.Namespace, scratch: Path) -> ScanResult:
    """By the scanners that the arguments choose, isolated where this machine can."""
    scanners = select_scanners(
        arguments.scanners,
        processes=ToolProcesses(trusted=not sandbox.available()),
        limited=LimitedProcesses(MODULES),
        data=arguments.data,
    )
    return await scanners.scan(ScanOrder(key=f"scan-{scratch.name}", tree=arguments.folder, scratch=scratch))


def lines(result: ScanResult) -> Iterator[str]:
    """What people read."""
    for finding in result.findings:
        place = f"{finding.location.path}:{finding.location.line or 1}" if finding.location else ""
        yield f"{finding.severity:9}{finding.tool:16}{finding.rule:28}{place}: {finding.title}"
    for notice in result.notices:
        yield f"note: {notice}"
    for run in result.tools:
        yield f"{run.tool} {run.version}: {run.fault or f'{run.findings} findings'}, {run.duration_ms} ms"
    counts = counts_of(finding.severity for finding in result.findings)
    yield ", ".join(f"{count} {severity}" for severity, count in counts.items())


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m drivers.scanners", description="Look through a folder.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scanners", default="all", help="as DELIVERY_SCANNERS: all, or names with commas between")
    parser.add_argument("--data", type=Path, help="as DELIVERY_SCANNER_DATA")
    parser.add_argument("--sarif", type=Path, help="write the result there, as SARIF")
    arguments = parser.parse_args()
    if not arguments.folder.is_dir():
        parser.error(f"{arguments.folder} is no folder")
    with tempfile.TemporaryDirectory(prefix="scan-") as scratch:
        try:
            result = asyncio.run(scan(arguments, Path(scratch) / "scan"))
        except ValueError as error:
            parser.error(str(error))
    sys.stdout.writelines(f"{line}\n" for line in lines(result))
    if arguments.sarif:
        arguments.sarif.write_text(json.dumps(sarif_of(result), indent=1))
    if not result.tools:
        sys.stderr.write("no scanner ran: `make setup` installs them\n")
        return 2
    return int(any(run.fault for run in result.tools))


if __name__ == "__main__":
    sys.exit(main())
