"""Scans of three small apps with planted findings: what was found, told wrongly, missed."""

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

from domain.findings import Finding, FindingKind, ScanResult
from domain.sarif import sarif_of
from drivers import sandbox
from drivers.scanners.base import ScanOrder
from drivers.scanners.dependencies import MODULE as LOCK_FILES
from drivers.scanners.dependencies import Dependencies
from drivers.scanners.mirror.advisories import MirrorAdvisories
from drivers.scanners.process import ToolProcesses
from drivers.scanners.registry import MODULES, select_scanners
from runtime.limited import LimitedProcesses
from tests.scans.planted import DEPENDENCIES, NAMES, OPEN, PLANTED, Planted, copy, line_of
from tests.support.osv import archives


class Scanned(NamedTuple):
    """One app's scan."""

    tree: Path
    secrets: dict[str, str]
    result: ScanResult
    written: str  # all that was logged


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Scanned]:
    return asyncio.run(_scanned(tmp_path_factory))


async def _scanned(folders: pytest.TempPathFactory) -> dict[str, Scanned]:
    processes = ToolProcesses(trusted=not sandbox.available())
    limited = LimitedProcesses((*MODULES, LOCK_FILES))
    mirror = archives(folders.mktemp("mirror") / "mirror")
    advisories = MirrorAdvisories(mirror, mirror.parent / "index", max_age_days=10_000)
    scanners = select_scanners(
        "detect-secrets,bandit,hadolint,advisories",
        processes=processes,
        limited=limited,
        others=(Dependencies(limited, advisories),),
    )
    scans = {}
    for name in NAMES:
        folder = folders.mktemp(name)
        made = copy(name, folder / "tree")
        order = ScanOrder(key=f"planted-{folder}", tree=folder / "tree", scratch=folder / "scratch")
        result = await scanners.scan(order)
        written = "".join(path.read_text(errors="replace") for path in folder.glob("scratch/*/log"))
        scans[name] = Scanned(folder / "tree", made, result, written)
    return scans


def found(scanned: Scanned, planted: Planted, *, by: str = "") -> list[Finding]:
    """What tools say of the line, or the package, where something is planted."""
    if planted.tool == DEPENDENCIES:
        return [
            finding
            for finding in scanned.result.findings
            if finding.package
            and finding.package.name.lower() == planted.words
            and planted.rule in {"", finding.rule, *finding.aliases}
        ]
    line = line_of(scanned.tree, planted)
    return [
        finding
        for finding in scanned.result.findings
        if finding.location
        and (finding.location.path, finding.location.line) == (planted.path, line)
        and finding.tool == (by or planted.tool or finding.tool)
        and (not planted.rule or finding.rule == planted.rule)
    ]


def test_no_tool_failed(scans: dict[str, Scanned]) -> None:
    assert {(name, run.fault) for name, each in scans.items() for run in each.result.tools if run.fault} == set()
    ran = {name: {run.tool for run in each.result.tools} for name, each in scans.items()}
    assert ran == {
        "python": {"detect-secrets", "bandit", "hadolint", "advisories"},
        "node": {"detect-secrets", "hadolint", "advisories"},
        "go": {"detect-secrets", "hadolint", "advisories"},
    }


@pytest.mark.parametrize("planted", [each for each in PLANTED if each.is_true and each.tool], ids=str)
def test_what_is_wrong_is_found(scans: dict[str, Scanned], planted: Planted) -> None:
    assert found(scans[planted.app], planted)


@pytest.mark.parametrize("planted", [each for each in PLANTED if not each.is_true], ids=str)
def test_what_only_looks_wrong_is_not_told(scans: dict[str, Scanned], planted: Planted) -> None:
    assert [(each.rule, each.title) for each in found(scans[planted.app], planted)] == []


def test_suppressions_in_the_sources_are_counted(scans: dict[str, Scanned]) -> None:
    assert scans["python"].result.notices[0] == "bandit: 2 findings are suppressed in the sources by `# nosec`"
    assert "hadolint: 1 comments in Dockerfiles suppress findings" in scans["node"].result.notices[0]


def test_no_secret_is_in_what_is_told(scans: dict[str, Scanned]) -> None:
    for each in scans.values():
        told = each.result.model_dump_json() + json.dumps(sarif_of(each.result)) + each.written
        hidden = [line for name, value in each.secrets.items() if name not in OPEN for line in value.splitlines()]
        assert [value for value in hidden if value in told and not value.startswith("-----")] == []


def test_the_table(scans: dict[str, Scanned], capsys: pytest.CaptureFixture[str]) -> None:
    """`pytest -s` shows it; docs/scans.md has it."""
    rows: dict[str, Counter[str]] = {}
    for planted in PLANTED:
        row = rows.setdefault(planted.tool or "nobody", Counter())
        hits = found(scans[planted.app], planted)
        kind = ("found" if hits else "missed") if planted.is_true else ("false alarms" if hits else "right silence")
        row[kind] += 1
    columns = ("found", "missed", "false alarms", "right silence")
    lines = [f"{'':16}" + "".join(f"{column:>15}" for column in columns)]
    lines += [f"{tool:16}" + "".join(f"{row[column]:15}" for column in columns) for tool, row in rows.items()]
    kinds = Counter(finding.kind for each in scans.values() for finding in each.result.findings)
    with capsys.disabled():
        missed = (f"{each.app}/{each.path}: {each.missed}" for each in PLANTED if each.missed)
        print("\n".join(("", *lines, f"missed: {'; '.join(missed)}")))  # noqa: T201 - for people
    assert {tool: dict(row) for tool, row in rows.items()} == {
        "detect-secrets": {"found": 7, "right silence": 11},
        "bandit": {"found": 8, "right silence": 5},
        "hadolint": {"found": 6, "right silence": 3},
        "nobody": {"missed": 4},
        "advisories": {"found": 4, "right silence": 4},
    }
    assert kinds[FindingKind.SECRET] == 7
