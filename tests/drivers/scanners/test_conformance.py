"""What every scanner must do. A new driver is added to `SCANNERS`, with a tree in which it finds something."""

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from drivers.scanners.base import Report, Scanner, ScanOrder, Sources
from drivers.scanners.on_path import RECIPES, OnPath
from drivers.scanners.process import ToolProcesses
from drivers.scanners.tools import Bandit, DetectSecrets, Hadolint, LimitedReader, Reader, SarifReports
from runtime.limited import LimitedProcesses
from tests.drivers.scanners.conftest import seen
from tests.drivers.scanners.samples import SARIF, semgrep_rules


@dataclass(frozen=True)
class Case:
    """A scanner, and a tree for it.

    Attributes:
        files: contents by path; one weakness in the first.
        rule: by which it is found, at which line (None: a whole file).
        comment: a line that can stand above all others of that file.
    """

    make: Callable[[ToolProcesses, Reader, LimitedProcesses, Path], Scanner]
    files: dict[str, str]
    rule: str
    line: int | None
    comment: str = "# a comment\n"
    needs: str = ""
    sarif: tuple[str, ...] = ()


def _on_path(name: str) -> Callable[[ToolProcesses, Reader, LimitedProcesses, Path], Scanner]:
    recipe = next(each for each in RECIPES if each.name == name)
    return lambda processes, reader, _limited, data: OnPath(recipe, processes, reader, data)


SCANNERS = {
    "bandit": Case(
        lambda processes, reader, _limited, _data: Bandit(processes, reader),
        {"src/app.py": "import os\n\n\ndef run(what):\n    os.system(what)\n"},
        "B605",
        5,
    ),
    "detect-secrets": Case(
        lambda processes, reader, _limited, _data: DetectSecrets(processes, reader),
        {"src/app.py": "KEY = 'AKIA" + "IOSFODNN7EXAMPLF'\n"},
        "AWS Access Key",
        1,
    ),
    "hadolint": Case(
        lambda processes, reader, _limited, _data: Hadolint(processes, reader),
        {"docker/Dockerfile": "FROM debian:latest\n"},
        "DL3007",
        1,
    ),
    "sarif": Case(
        lambda _processes, _reader, limited, _data: SarifReports(limited),
        {"src/app.py": "eval(input())\n", "report.sarif": SARIF},
        "no-eval",
        1,
        comment="",
        sarif=("report.sarif",),
    ),
    "semgrep": Case(
        _on_path("semgrep"), {"src/app.py": "def f(x):\n    return eval(x)\n"}, "no-eval", 2, needs="semgrep"
    ),
}


@dataclass
class World:
    """A case with its tree made, and its scanner."""

    case: Case
    scanner: Scanner
    order: ScanOrder

    @property
    def first(self) -> Path:
        return self.order.tree / next(iter(self.case.files))

    def sources(self) -> Sources:
        return seen(self.order)

    async def scan(self, timeout_s: float = 300) -> Report:
        return await self.scanner.scan(self.sources(), timeout_s=timeout_s)


@pytest.fixture(params=sorted(SCANNERS))
def world(
    request: pytest.FixtureRequest, isolated: ToolProcesses, limited: LimitedProcesses, order: ScanOrder
) -> World:
    case = SCANNERS[request.param]
    if case.needs and not shutil.which(case.needs):
        pytest.skip(f"{case.needs} is not on the PATH")
    data = order.scratch.parent / "data"
    semgrep_rules(data / "semgrep")
    for path, text in case.files.items():
        (order.tree / path).parent.mkdir(parents=True, exist_ok=True)
        (order.tree / path).write_text(text)
    scanner = case.make(isolated, LimitedReader(limited), limited, data)
    return World(case, scanner, replace(order, root=order.tree, sarif=case.sarif))


async def test_it_finds_its_weakness_at_its_place(world: World) -> None:
    report = await world.scan()
    assert report.fault is None
    hits = [each for each in report.findings if each.rule == world.case.rule]
    assert [(each.location.path, each.location.line) for each in hits if each.location] == [
        (next(iter(world.case.files)), world.case.line)
    ]
    assert {each.tool for each in report.findings} <= {world.scanner.name, "conformance"}
    assert report.version or world.scanner.name == "sarif"


async def test_a_finding_is_the_same_when_lines_move_and_another_when_its_line_is(world: World) -> None:
    before = {each.rule: each.fingerprint for each in (await world.scan()).findings}
    text = world.first.read_text()
    world.first.write_text(world.case.comment + text)
    moved = {each.rule: each for each in (await world.scan()).findings}
    assert moved[world.case.rule].fingerprint == before[world.case.rule]
    if world.case.comment:
        location = moved[world.case.rule].location
        assert location
        assert location.line == (world.case.line or 0) + 1


async def test_the_same_twice_in_a_file_is_two(world: World) -> None:
    if world.scanner.name in ("sarif", "hadolint"):
        pytest.skip("its tree has one place only")
    text = world.first.read_text()
    world.first.write_text(text + text)
    hits = [each.fingerprint for each in (await world.scan()).findings if each.rule == world.case.rule]
    assert len(set(hits)) == len(hits)
    # A secret that stands there twice is one to be replaced; it still has two places.
    assert len(hits) == 2


async def test_it_has_nothing_to_do_in_an_empty_tree(world: World, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert not world.scanner.suits(seen(replace(world.order, tree=empty, root=empty, sarif=())))
    assert world.scanner.suits(world.sources())


async def test_it_follows_no_link_out_of_the_tree(world: World, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    shutil.copytree(world.order.tree, outside)
    shutil.rmtree(world.order.tree)
    world.order.tree.mkdir()
    for path in outside.iterdir():
        (world.order.tree / path.name).symlink_to(path)
    sources = world.sources()
    assert sources.files == {}
    if world.scanner.suits(sources):
        report = await world.scan()
        assert (report.findings, bool(report.fault)) == ((), True)


async def test_it_leaves_the_tree_as_it_is(world: World) -> None:
    def state() -> list[tuple[str, int, bytes]]:
        return [
            (str(path), path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
            for path in sorted(world.order.tree.rglob("*"))
        ]

    before = state()
    await world.scan()
    assert state() == before


async def test_a_scan_that_was_cancelled_can_be_done_again(world: World) -> None:
    task = asyncio.create_task(world.scan())
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.wait((task,))  # cancelled, or done by then
    assert world.case.rule in {each.rule for each in (await world.scan()).findings}


async def test_files_with_odd_names_are_in_nobodys_way(world: World) -> None:
    first = world.first
    for name in ("-rf", "--config=x", "a b", "$(touch x)", "'", "ü", "new\nline"):
        shutil.copy(first, first.with_name(f"{name}{first.suffix}"))
        folder = world.order.tree / f"folder {name}"
        folder.mkdir()
        shutil.copy(first, folder / first.name)
    report = await world.scan()
    assert report.fault is None
    assert world.case.rule in {each.rule for each in report.findings}
