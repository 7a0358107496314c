"""`go.mod` and `go.sum`: the versions that a build uses."""

import re
from collections.abc import Iterator
from typing import Final

from domain.findings import Ecosystem
from domain.lock_files.reading import Collected, Locked, LockFile
from domain.package_versions.parsing import Comparable, parse_version

_PRUNED: Final = (1, 17)
"""Since then `go.mod` lists all modules of a build; before, only those that the module itself names."""
_COMMENT = re.compile(r"(^|\s)//.*$")
_GO = re.compile(r"(\d{1,4})\.(\d{1,4})(\.\d{1,4})?\S*")
STANDARD: Final = "stdlib"
"""The standard library, in the words of Go's advisories."""


def modules(file: LockFile) -> Locked:
    """`go.mod`, and for older Go what only `go.sum` beside it names."""
    found = Collected(file, Ecosystem.GO)
    versions: dict[str, str] = {}
    replaced: dict[tuple[str, str], tuple[str, str]] = {}
    go = toolchain = ""
    for verb, words in _directives(file.text):
        if verb == "require" and len(words) >= 2:  # noqa: PLR2004 - a module and its version
            versions[words[0]] = words[1]
        elif verb == "replace" and "=>" in words:
            arrow = words.index("=>")
            old, new = [*words[:arrow], ""], [*words[arrow + 1 :], "", ""]
            replaced[old[0], old[1]] = (new[0], new[1])
        elif verb in ("go", "toolchain") and words:
            go, toolchain = (words[0], toolchain) if verb == "go" else (go, words[0])
    if not _is_pruned(go):
        versions = _with_sums(versions, file.near("go.sum"))
    for module, version in versions.items():
        instead = replaced.get((module, version)) or replaced.get((module, ""), (module, version))
        if instead[1]:
            found.add(*instead)
        else:  # a folder
            found.elsewhere += 1
    _standard_library(found, toolchain)
    return found.result()


def _standard_library(found: Collected, toolchain: str) -> None:
    version = toolchain.removeprefix("go").partition("-")[0]
    if version and _GO.fullmatch(version):
        found.add(STANDARD, version)


def _directives(text: str) -> Iterator[tuple[str, list[str]]]:
    """Verbs and their words, also of blocks in parentheses."""
    block = ""
    for raw in text.splitlines():
        words = [word.strip('"`') for word in _COMMENT.sub("", raw).split()]
        if not words:
            continue
        if block:
            if words == [")"]:
                block = ""
            else:
                yield block, words
        elif words[-1] == "(" and len(words) == 2:  # noqa: PLR2004 - `require (`
            block = words[0]
        else:
            yield words[0], words[1:]


def _is_pruned(go: str) -> bool:
    match = _GO.fullmatch(go)
    return match is not None and (int(match[1]), int(match[2])) >= _PRUNED


def _with_sums(versions: dict[str, str], sums: bytes | None) -> dict[str, str]:
    """With the highest version of each other module whose content (not only its `go.mod`) was needed."""
    whole: dict[str, tuple[Comparable, str]] = {}
    for line in (sums or b"").decode(errors="replace").splitlines():
        words = line.split()
        if len(words) != 3 or words[1].endswith("/go.mod") or words[0] in versions:  # noqa: PLR2004 - module, version, hash
            continue
        known = parse_version(Ecosystem.GO, words[1])
        if known is not None and (words[0] not in whole or whole[words[0]][0] < known):
            whole[words[0]] = (known, words[1])
    return {**versions, **{module: version for module, (_, version) in whole.items()}}
