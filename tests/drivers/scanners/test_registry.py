import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from domain.errors import DependencyError, ErrorCode, TerminalError
from domain.findings import Finding, FindingKind, Severity, fingerprint_of
from drivers.scanners import listing, tools
from drivers.scanners.base import Report, ScannerFaultError, ScanOrder, Sources
from drivers.scanners.listing import MAX_PATH, listed
from drivers.scanners.process import ToolProcesses
from drivers.scanners.registry import Scanners, select_scanners
from runtime.limited import LimitedProcesses


class Known:
    """Says what it is told to."""

    def __init__(self, name: str, report: Report | Exception, *, suits: bool = True) -> None:
        self.name, self._report, self._suits, self.timeouts = name, report, suits, list[float]()

    def suits(self, sources: Sources) -> bool:
        return self._suits

    async def scan(self, sources: Sources, *, timeout_s: float) -> Report:
        self.timeouts.append(timeout_s)
        if isinstance(self._report, Exception):
            raise self._report
        return self._report


def finding(tool: str, severity: Severity, rule: str = "rule") -> Finding:
    fingerprint = fingerprint_of(FindingKind.CODE, rule)
    return Finding(
        fingerprint=fingerprint, kind=FindingKind.CODE, tool=tool, rule=rule, severity=severity, title="words"
    )


async def test_what_suits_runs_and_the_others_are_not_told_of(order: ScanOrder) -> None:
    result = await Scanners([Known("one", Report(version="1")), Known("two", Report(), suits=False)]).scan(order)
    assert [(run.tool, run.version, run.fault) for run in result.tools] == [("one", "1", None)]


async def test_only_what_the_spec_names_runs(order: ScanOrder) -> None:
    scanners = Scanners([Known("one", Report()), Known("two", Report())])
    result = await scanners.scan(replace(order, tools=("two",)))
    assert [run.tool for run in result.tools] == ["two"]


async def test_what_the_spec_leaves_out_is_said(order: ScanOrder) -> None:
    others = [Known("one", Report()), Known("three", Report(), suits=False)]
    result = await Scanners([*others, Known("two", Report())]).scan(replace(order, tools=("two",)))
    assert result.notices == ("scan.tools leaves out: one",)
    assert (await Scanners(others).scan(order)).notices == ()


async def test_a_name_that_there_is_not_is_a_fault_of_the_spec(order: ScanOrder) -> None:
    scanners = Scanners([Known("one", Report()), Known("two", Report())])
    with pytest.raises(TerminalError, match=r"names 'three'; on this engine there are: one, two") as caught:
        await scanners.scan(replace(order, tools=("two", "three")))
    assert caught.value.code is ErrorCode.SPEC_INVALID
    with pytest.raises(TerminalError, match="there are: none"):
        await Scanners(()).scan(replace(order, tools=("bandit",)))


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (ScannerFaultError("hung"), "it hung"),
        (ValueError("with a secret"), "it failed by a fault of the engine's (ValueError); its log says more"),
        (DependencyError("no process could be started"), "no process could be started"),
        (TerminalError("The disk is full.", code=ErrorCode.DISK_FULL), "The disk is full."),
    ],
)
async def test_one_that_fails_takes_nothing_from_the_others(order: ScanOrder, error: Exception, fault: str) -> None:
    good = Known("good", Report(findings=(finding("good", Severity.HIGH),)))
    result = await Scanners([Known("bad", error), good]).scan(order)
    assert [(run.tool, run.fault) for run in result.tools] == [("bad", fault), ("good", None)]
    assert len(result.findings) == 1


async def test_findings_of_one_that_did_not_finish_count(order: ScanOrder) -> None:
    half = Report(findings=(finding("half", Severity.LOW),), fault="it failed at 1 files")
    result = await Scanners([Known("half", half)]).scan(order)
    assert (len(result.findings), result.tools[0].fault) == (1, "it failed at 1 files")


async def test_of_two_that_found_the_same_the_worse_is_kept_and_the_worst_is_first(order: ScanOrder) -> None:
    low = Known("low", Report(findings=(finding("low", Severity.LOW), finding("low", Severity.MEDIUM, "other"))))
    unknown = Known("unknown", Report(findings=(finding("unknown", Severity.UNKNOWN),)))
    high = Known("high", Report(findings=(finding("high", Severity.HIGH),)))
    result = await Scanners([low, unknown, high]).scan(order)
    assert [(each.tool, each.severity) for each in result.findings] == [
        ("high", Severity.HIGH),
        ("low", Severity.MEDIUM),
    ]


async def test_there_is_one_time_for_all(order: ScanOrder) -> None:
    first, second = Known("first", Report()), Known("second", Report())
    await Scanners([first, second]).scan(replace(order, timeout_s=100))
    assert 0 < second.timeouts[0] < first.timeouts[0] <= 100
    result = await Scanners([first]).scan(replace(order, timeout_s=1e-9))
    assert result.tools[0].fault == "it was not begun: the scanners before it took all of the time in scan.timeout"


@pytest.mark.parametrize(
    ("setting", "names"),
    [
        ("none", ()),
        ("bandit", ("bandit",)),
        (" hadolint , bandit ", ("bandit", "hadolint")),
        ("trivy,detect-secrets", ("detect-secrets", "trivy")),
    ],
)
def test_the_operator_chooses(
    isolated: ToolProcesses, limited: LimitedProcesses, setting: str, names: tuple[str, ...]
) -> None:
    assert select_scanners(setting, processes=isolated, limited=limited).available == names


def test_all_is_what_is_at_hand(isolated: ToolProcesses, limited: LimitedProcesses) -> None:
    found = select_scanners("all", processes=isolated, limited=limited, others=(Known("advisories", Report()),))
    assert found.available == ("detect-secrets", "bandit", "hadolint", "advisories")


async def test_a_scanner_of_the_engine_that_is_gone_is_a_fault_of_each_scan(
    isolated: ToolProcesses,
    limited: LimitedProcesses,
    order: ScanOrder,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """`all` was "what is at hand": without the folder nothing looked for secrets, and a scan passed."""
    monkeypatch.setattr(tools, "PACKAGES", tmp_path / "gone")
    for name in ("app.py", "Dockerfile"):
        (order.tree / name).write_text("FROM x\n")
    result = await select_scanners("all", processes=isolated, limited=limited).scan(order)
    assert [run.tool for run in result.tools] == ["detect-secrets", "bandit", "hadolint"]
    assert all("is not installed on the worker: `make setup` puts it into" in (run.fault or "") for run in result.tools)


@pytest.mark.parametrize("setting", ["", ",", "bandit,banditt", "ALL", "none,bandit"])
def test_names_that_no_scanner_has_are_refused(
    isolated: ToolProcesses, limited: LimitedProcesses, setting: str
) -> None:
    with pytest.raises(ValueError, match="there are: all, none, bandit, detect-secrets, govulncheck, grype, hadolint"):
        select_scanners(setting, processes=isolated, limited=limited)


async def test_one_that_is_named_and_not_installed_says_so_in_each_scan(
    isolated: ToolProcesses, limited: LimitedProcesses, order: ScanOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    (order.tree / "requirements.txt").write_text("jinja2==2.11.2\n")
    result = await select_scanners("grype", processes=isolated, limited=limited).scan(order)
    assert [(run.tool, run.fault) for run in result.tools] == [("grype", "it is not on the PATH of the worker")]


async def test_one_without_its_data_says_so(
    isolated: ToolProcesses,
    limited: LimitedProcesses,
    order: ScanOrder,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    program = tmp_path / "bin" / "grype"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    (order.tree / "requirements.txt").write_text("jinja2==2.11.2\n")
    for data in (None, order.scratch.parent):
        result = await select_scanners("grype", processes=isolated, limited=limited, data=data).scan(order)
        assert result.tools[0].fault == "it has no data: put them into the folder grype of DELIVERY_SCANNER_DATA"
        assert "grype" not in select_scanners("all", processes=isolated, limited=limited, data=data).available


def test_a_tree_is_listed_without_links_and_installed_folders(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for folder in ("src", "node_modules/x", ".git", "env", "vendor", "other/vendor", "deep/__pycache__"):
        (tree / folder).mkdir(parents=True)
        (tree / folder / "file.py").write_text("1")
    (tree / "env" / "pyvenv.cfg").write_text("")
    (tree / "vendor" / "modules.txt").write_text("")
    (tree / "link.py").symlink_to(tmp_path)
    (tree / "src" / "up").symlink_to(tree)
    (tree / "new\nline.py").write_text("1")
    (tree / ("x" * 250)).mkdir()
    found = listed(tree)
    assert list(found.files) == ["other/vendor/file.py", "src/file.py"]
    assert found.notices == (
        "2 symbolic links were not followed",
        "1 files were not looked at: they are no regular files, or their names are too long or no UTF-8",
        "5 folders of installed dependencies or of tools were not looked at (node_modules, .venv, ...)",
    )


def test_a_tree_deeper_than_a_path_can_name_is_listed(tmp_path: Path) -> None:
    at = tmp_path
    for _ in range(MAX_PATH // 100 + 2):
        at /= "d" * 100
        at.mkdir()
    (at / "file").write_text("1")
    (tmp_path / "file").write_text("1")
    found = listed(tmp_path)
    assert list(found.files) == ["file"]
    assert "1 files were not looked at" in found.notices[0]


def test_of_a_folder_of_too_many_files_no_more_are_looked_at_than_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(50):
        (tmp_path / f"f{number}").touch()
    asked: list[str] = []
    real = os.stat

    def counting(path: str, **named: Any) -> os.stat_result:
        asked.append(path)
        return real(path, **named)

    monkeypatch.setattr(listing, "MAX_FILES", 5)
    monkeypatch.setattr(os, "stat", counting)
    assert len(listed(tmp_path).files) == 5
    assert len(asked) == 6


def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root reads everything: the system's word is what there is to plant."""
    (tmp_path / "closed").mkdir()
    (tmp_path / "file").write_text("1")
    real = os.open

    def refusing(path: Path, *more: int, **named: int) -> int:
        if str(path).rstrip("/").endswith("closed"):
            raise PermissionError
        return real(path, *more, **named)

    monkeypatch.setattr(os, "open", refusing)
    found = listed(tmp_path)
    assert (list(found.files), found.notices) == (
        ["file"],
        ("1 folders could not be read, so nothing in them was looked at",),
    )
