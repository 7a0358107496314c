"""The languages there are: each has one function, which writes what is generated into an empty folder.

A function reads the document (`description.read()` has been called for it) and writes files at the paths that they
have below `sdks/<language>`. What it needs of this machine and does not find is a `ToolchainMissingError`.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from sdks.generate.description import DOCUMENT, Api, read

Generate = Callable[[Api, Path], None]

SDKS: Final = Path(__file__).parents[1]
# In one of the first lines of each generated file: what has it and is not made any more is removed.
MARK: Final = "enerated by `make sdks`"
HASH: Final = "openapi.sha256"
# What a reader is told, and no code depends on.
WORDS: Final = frozenset({"description", "summary", "example", "examples", "externalDocs", "x-codeSamples"})
# Their keys are names that somebody chose, not words of OpenAPI.
NAMES: Final = frozenset({"properties", "patternProperties", "schemas", "parameters", "responses", "headers", "paths"})


class ToolchainMissingError(Exception):
    """The language cannot be generated on this machine; the message says what is missing."""


def fingerprint(document: Path = DOCUMENT) -> str:
    """The SHA-256 of the document without its words: what moves it can move an SDK."""
    bare = _without_words(json.loads(document.read_text()), named=False)
    return hashlib.sha256(json.dumps(bare, sort_keys=True).encode()).hexdigest()


def _without_words(node: Any, *, named: bool) -> Any:
    if isinstance(node, dict):
        return {
            key: _without_words(inner, named=key in NAMES) for key, inner in node.items() if named or key not in WORDS
        }
    return [_without_words(inner, named=False) for inner in node] if isinstance(node, list) else node


def fresh(generate: Generate, language: str) -> dict[Path, bytes]:
    """What the language's files should be, by their path below `sdks/<language>`.

    Raises:
        ToolchainMissingError: This machine lacks what the language needs.
    """
    with tempfile.TemporaryDirectory(prefix=f"sdks-{language}-") as folder:
        generate(read(), Path(folder))
        made = {path.relative_to(folder): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}
    return {**made, Path(HASH): f"{fingerprint()}\n".encode()}


def checked_in(language: str) -> dict[Path, bytes]:
    """The generated files of a language as they are."""
    folder = SDKS / language
    return {path.relative_to(folder): path.read_bytes() for path in _generated(folder)}


def _generated(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        foreign = {"node_modules", "dist", "target", ".gradle", "__pycache__"} & set(path.relative_to(folder).parts)
        if path.is_file() and not foreign and (path == folder / HASH or MARK in _beginning(path)):
            yield path


def _beginning(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(400).decode(errors="replace")


def write(language: str, made: Mapping[Path, bytes]) -> list[Path]:
    """Put the files of a language in place, and remove what is not generated any more; the paths that changed."""
    folder = SDKS / language
    old = checked_in(language)
    changed = [path for path, content in made.items() if old.get(path) != content]
    for path in changed:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(made[path])
    gone = sorted(set(old) - set(made))
    for path in gone:
        (folder / path).unlink()
    return [*changed, *gone]


def program(name: str, hint: str) -> str:
    """Where a program is.

    Raises:
        ToolchainMissingError: It is not on this machine.
    """
    found = shutil.which(name)
    if found is None:
        raise ToolchainMissingError(f"no {name} on this machine: {hint}")
    return found
