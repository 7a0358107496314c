"""docs/cli/README.md is what the code says, and no page names a command or an option that there is not."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_catalog import ALL, check

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "cli" / "README.md", ROOT / "docs" / "tutorial.md", *sorted((ROOT / "docs" / "howto").glob("*.md"))]


def test_the_reference_is_what_the_code_says():
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "cli" / "src")}
    argv = [sys.executable, "-P", "-m", "delivery_cli.reference"]
    made = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True, timeout=120).stdout
    assert (ROOT / "docs" / "cli" / "README.md").read_text() == made, (
        "PYTHONPATH=cli/src .venv/bin/python -P -m delivery_cli.reference > docs/cli/README.md"
    )


def told(page: Path) -> list[str]:
    """The command lines of a page's blocks."""
    blocks = re.findall(r"```(?:ba)?sh\n(.*?)```", page.read_text(), re.DOTALL)
    found = re.findall(
        r"(?:^|[|(&] ?)(delivery (?!COMMAND)[a-z].*?)(?=\)$|\)\s|$| && )", "\n".join(blocks), re.MULTILINE
    )
    return [line for line in found if "URL" not in line or '"' in line]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_page_are_understood(page):
    lines = told(page)
    assert lines or page.name == "README.md"
    for line in lines:
        words = shlex.split(line.partition("  #")[0])
        depth = 2 if tuple(words[1:3]) in ALL else 1
        assert tuple(words[1 : 1 + depth]) in ALL, line
        check(line, tuple(words[1 : 1 + depth]))


def test_the_tutorial_takes_fewer_than_ten_commands():
    numbers = re.findall(r"# (\d+)(?::|$)", (ROOT / "docs" / "tutorial.md").read_text(), re.MULTILINE)
    assert [int(one) for one in numbers] == list(range(1, len(numbers) + 1))
    assert len(numbers) < 10
