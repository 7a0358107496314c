"""docs/extending.md, followed literally in a copy of the repository."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", ".data", "__pycache__", ".*_cache", ".hypothesis", "node_modules")
BLOCK = re.compile(
    r"(?:^Create `(?P<path>[^`]+)`:\n\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
LIMIT_S = 600


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Path]:
    made = tmp_path / "copy"
    shutil.copytree(ROOT, made, ignore=LEFT_OUT, symlinks=True)
    (made / ".venv").symlink_to((ROOT / ".venv").resolve())
    yield made
    shutil.rmtree(made)


@pytest.mark.timeout(4 * LIMIT_S)
@pytest.mark.deep
def test_the_walks_work_as_they_are_written(copy: Path) -> None:
    blocks = list(BLOCK.finditer((ROOT / "docs" / "extending.md").read_text()))
    assert [block["kind"] for block in blocks].count("sh") == 4
    for block in blocks:
        match block["kind"]:
            case "python":
                assert block["path"], "a file without a name"
                assert not (copy / block["path"]).exists()
                (copy / block["path"]).write_text(block["text"])
            case "diff":
                run(["git", "apply", "-p1", "-"], copy, block["text"])
            case "sh":
                run(["bash", "-eu", "-c", block["text"]], copy)
    run([".venv/bin/python", "-m", "ruff", "check", "."], copy)
    run([".venv/bin/python", "-m", "ruff", "format", "--check", "."], copy)


def run(command: list[str], folder: Path, given: str = "") -> None:
    ended = subprocess.run(
        command, cwd=folder, input=given, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert ended.returncode == 0, f"{command}\n{ended.stdout}\n{ended.stderr}"
