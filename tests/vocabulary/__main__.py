"""Old names stay gone: `python -m tests.vocabulary` (part of `make lint`).

`modules.txt` has a module's old and new dotted name a line, `names.txt` a module, and the old and the new name of a
class or function in it. Exact names are refused, not words: where they are gone from is what the glossary and ADR 40
say.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# They tell of the past, or hold the names themselves.
PAST = ("CHANGELOG.md", "docs/adr/", "tests/vocabulary/")


def main() -> int:
    """The exit status is for the shell."""
    faults = [*_modules(), *_names()]
    for fault in faults:
        sys.stderr.write(f"{fault}\n")
    return 1 if faults else 0


def _modules() -> Iterator[str]:
    """Modules that are there under their old name, and texts that name them so."""
    moved = dict(_lines("modules.txt", 2))
    for old, new in moved.items():
        if (ROOT / f"{old.replace('.', '/')}.py").exists():
            yield f"{old} is {new} now (docs/glossary.md)"
    dotted = "|".join(re.escape(old) for old in moved)
    imported = re.compile(rf"^\s*(?:from|import) ({dotted})(?![\w.])", re.MULTILINE)
    for path in _texts():
        for found in imported.finditer(path.read_text()):
            yield f"{path.relative_to(ROOT)}: {found[1]} is {moved[found[1]]} now"


def _names() -> Iterator[str]:
    """Classes and functions that are defined under their old name."""
    for module, old, new in _lines("names.txt", 3):
        path = ROOT / f"{module.replace('.', '/')}.py"
        tree = ast.parse(path.read_text()) if path.exists() else ast.Module([], [])
        if any(getattr(node, "name", "") == old for node in tree.body):
            yield f"{module}.{old} is {new} now (docs/glossary.md)"


def _lines(name: str, count: int) -> Iterator[tuple[str, ...]]:
    for line in (HERE / name).read_text().splitlines():
        words = tuple(line.split())
        if len(words) != count:
            raise ValueError(f"{name}: {line!r} has not {count} words")
        yield words


def _texts() -> Iterator[Path]:
    for top in sorted(ROOT.iterdir()):
        if top.name.startswith("."):
            continue
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            if path.suffix in {".py", ".md"} and not str(path.relative_to(ROOT)).startswith(PAST):
                yield path


if __name__ == "__main__":
    sys.exit(main())
