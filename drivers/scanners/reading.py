"""What tools wrote becomes findings. Everything here runs in processes with limits: a tool may have been taken over.

Nothing is believed: sizes, types, paths and texts are looked at one by one, and what is odd is a fault or left out
with a notice, never an exception.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple

from pydantic_core import from_json

from domain.findings import (
    MAX_DESCRIPTION,
    MAX_FINDINGS,
    MAX_LINKS,
    Finding,
    FindingKind,
    Location,
    Package,
    Severity,
    fingerprint_of,
)
from domain.foreign_text import storable
from drivers.scanners.base import Report
from drivers.scanners.tree import open_file

MAX_TITLE, MAX_RULE, MAX_PATH = 512, 128, 1024
# Of a source file whose lines are read for fingerprints.
MAX_SOURCE: Final = 8 * 1024 * 1024
MASK = "***"
_QUOTED = re.compile(r"'([^'\n]{1,500})'|\"([^\"\n]{1,500})\"|`([^`\n]{1,500})`")
_CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_LEAST_MASKED = 4
_LINE = 20_000  # characters of a line that are looked through for what may be quoted
# Shapes that are secrets wherever they stand: keys of clouds and forges, tokens, passwords in addresses.
_TOKENS = re.compile(
    r"AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[abprs]-[\w-]{10,}"
    r"|sk_live_\w{10,}|sk-[\w-]{20,}|npm_\w{20,}|pypi-[\w-]{20,}|AIza[\w-]{30,}|SG\.[\w-]{16,}\.[\w-]{16,}"
    r"|eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?|-----BEGIN [A-Z ]*PRIVATE KEY[\s\S]*|(?<=://)[^/\s:@]{1,200}:[^/\s@]{1,500}(?=@)"
)


class Unreadable(Exception):  # noqa: N818 - a fault of what is read
    """The message goes on after "it"."""


def load(path: str) -> Any:
    """The JSON in a file that a stranger's process wrote.

    Raises:
        Unreadable: it is none.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        content = file.read()
    if not content.strip():
        raise Unreadable("wrote nothing")
    try:
        return from_json(content)
    except ValueError:
        raise Unreadable("wrote a result that is no JSON, or only half of it") from None


def report(read: Callable[[], Report]) -> Report:
    """What `read` makes, with the faults of what it reads as the report's fault."""
    try:
        return read()
    except Unreadable as error:
        return Report(fault=f"it {error}")
    except OSError as error:
        return Report(fault=f"it left a result that cannot be read: {error.strerror}")


def objects(found: Any, what: str) -> Iterator[dict[str, Any]]:
    """The objects of a list.

    Raises:
        Unreadable: it is no list of objects.
    """
    if not isinstance(found, list):
        raise Unreadable(f"wrote a result without {what}")
    for each in found:
        if not isinstance(each, dict):
            raise Unreadable(f"wrote {what} that are no objects")
        yield each


def member(found: Any, *names: str) -> Any:
    """What is there by these names, one in the other; None as soon as something is missing or no object."""
    for name in names:
        if not isinstance(found, dict):
            return None
        found = found.get(name)
    return found


def text(value: Any, most: int) -> str:
    """A text of at most so many characters that can be shown and stored; empty when it is none."""
    if not isinstance(value, str):
        return ""
    return _CONTROL.sub(" ", storable(value[:most])).strip()


def number(value: Any) -> int | None:
    """A line's number; None when it is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 31 else None


class Found(NamedTuple):
    """One result of a tool, as it says it."""

    kind: FindingKind
    rule: str
    severity: Severity
    title: str
    path: str = ""
    line: int | None = None
    description: str = ""
    links: tuple[Any, ...] = ()  # as told: `links` looks at them
    mark: str = ""  # what makes it the same in another build, instead of the line's text
    package: Package | None = None
    aliases: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    score: float | None = None
    vector: str | None = None


class Findings:
    """Collects what one tool found.

    Args:
        tool: its name.
        tree: the service's folder, without links on the way to it.
        roots: where the tool saw that folder.
    """

    def __init__(self, tool: str, tree: str, roots: tuple[str, ...] = ()) -> None:
        self._tool = tool
        self._lines = SourceLines(tree)
        self._roots = tuple(dict.fromkeys((*roots, tree)))
        self._seen: Counter[str] = Counter()
        self._found: list[Finding] = []
        self.outside = 0
        self.more = 0

    def add(self, found: Found) -> None:
        """Results in places out of the tree are counted and left out; so is what is too much."""
        path = self.inside(found.path) if found.path else ""
        if path is None:
            self.outside += 1
            return
        if len(self._found) >= MAX_FINDINGS:
            self.more += 1
            return
        line = self._lines.text(path, found.line) if path else ""
        self._found.append(
            Finding(
                fingerprint=self._fingerprint(found, path, line),
                kind=found.kind,
                tool=self._tool,
                rule=text(found.rule, MAX_RULE) or "unnamed",
                aliases=tuple(filter(None, (text(each, MAX_RULE) for each in found.aliases[:50]))),
                severity=found.severity,
                cvss_score=found.score if found.score is not None and 0 <= found.score <= 10 else None,  # noqa: PLR2004 - CVSS's scale
                cvss_vector=text(found.vector, 256) or None,
                title=masked(text(found.title, MAX_TITLE), line) or text(found.rule, MAX_RULE) or "unnamed",
                description=masked(text(found.description, MAX_DESCRIPTION), line),
                package=found.package,
                fixed_versions=tuple(filter(None, (text(each, 256) for each in found.fixed[:50]))),
                location=Location(path=path, line=number(found.line)) if path else None,
                links=links(found.links),
            )
        )

    def report(self, version: str = "", *, fault: str | None = None, notices: tuple[str, ...] = ()) -> Report:
        """What was collected."""
        said = [*notices]
        if self.outside:
            said.append(
                f"{self._tool}: {self.outside} results name places out of the service's folder and were left out"
            )
        if self.more:
            said.append(f"{self._tool}: {self.more} results more than {MAX_FINDINGS}, which were left out")
        return Report(findings=tuple(self._found), version=text(version, 64), notices=tuple(said), fault=fault)

    def inside(self, path: str) -> str | None:
        """The path below the tree; None when it is not there."""
        path = path.removeprefix("file://")
        for root in self._roots:
            if path.startswith(f"{root}/"):
                path = path[len(root) + 1 :]
                break
        parts = [part for part in PurePosixPath(path).parts if part != "."]
        if path.startswith("/") or ".." in parts or not parts or len(path) > MAX_PATH or not path.isprintable():
            return None
        return "/".join(parts)

    def _fingerprint(self, found: Found, path: str, line: str) -> str:
        if found.package is not None:
            name = min((found.rule, *found.aliases))
            return fingerprint_of(found.kind, name, found.package.ecosystem, found.package.name)
        base = fingerprint_of(found.kind, found.rule, path, found.mark or "".join(line.split()))
        self._seen[base] += 1
        times = self._seen[base]
        # The same line twice in a file is two places to mend.
        return base if times == 1 else fingerprint_of(found.kind, base, str(times))


class SourceLines:
    """The lines of a tree's files, read once each. No link is followed."""

    def __init__(self, tree: str) -> None:
        self._tree = tree
        self._path, self._lines = "", list[str]()

    def text(self, path: str, line: int | None) -> str:
        """The line without its end; empty where there is none."""
        lines = self.all(path) if line is not None else []
        return lines[line - 1] if line is not None and 0 < line <= len(lines) else ""

    def all(self, path: str) -> list[str]:
        """None of a file that is not there."""
        if path != self._path:
            self._path, self._lines = path, _read_lines(self._tree, path)
        return self._lines


def _read_lines(tree: str, path: str) -> list[str]:
    try:
        with os.fdopen(open_file(tree, path), "rb") as file:
            return file.read(MAX_SOURCE).decode("utf-8", errors="replace").split("\n")
    except (OSError, ValueError):
        return []


def masked(words: str, line: str) -> str:
    """Words of a tool without what it quotes of the source: it may quote the secret that it found."""
    if not words:
        return words
    line = line[:_LINE]
    quoted = {value for groups in _QUOTED.findall(words) for value in groups if value and value in line}
    literals = {value for groups in _QUOTED.findall(line) for value in groups if len(value) >= _LEAST_MASKED}
    for value in sorted(literals | quoted, key=len, reverse=True):
        if value in words:
            words = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", MASK, words)
    return _TOKENS.sub(MASK, words)


def links(given: tuple[Any, ...]) -> tuple[str, ...]:
    """Those that are addresses of the web, of at most 2048 characters."""
    fine = [
        each
        for each in given
        if isinstance(each, str)
        and each.startswith(("https://", "http://"))
        and len(each) <= 2048  # noqa: PLR2004 - as the docstring says
        and each.isprintable()
        and " " not in each
        and not _TOKENS.search(each)
    ]
    return tuple(dict.fromkeys(fine))[:MAX_LINKS]


def by_words(words: Mapping[str, Severity], said: Any, otherwise: Severity) -> Severity:
    """A tool's word for a severity, whatever its case."""
    return words.get(said.lower(), otherwise) if isinstance(said, str) else otherwise


def real(tree: Path) -> str:
    """For `Findings`."""
    return os.path.realpath(tree)
