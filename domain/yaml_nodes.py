"""YAML text as plain values with their positions, so that a fault can name line and column.

Reads a plain subset of YAML 1.2's core schema: `yes`, `12:30` and `2026-01-31` are text, `0755` is a decimal number. No
custom tags, no merge keys, no directives, one document. Size, depth, number of nodes (aliases count at each use), and
the length of keys and numbers are limited, so that a hostile file costs little. The parser's own cost is limited from
outside: `runtime/limited.py`.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

MAX_TEXT = 256 * 1024
MAX_DEPTH = 20
MAX_NODES = 20_000
MAX_KEY = 256
MAX_NUMBER = 64
MAX_SHOWN = 200
MAX_INTEGER = 2**53 - 1  # the integers that every JSON reader supports
_PREFIX = "tag:yaml.org,2002:"
_DIRECTIVE = re.compile(r"^%.*", re.MULTILINE)

# YAML 1.2.2, 10.3.2: how plain scalars are resolved.
_CORE: Mapping[str, tuple[str, str]] = {
    "null": (r"null|Null|NULL|~|", "nN~"),
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    "float": (
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
}
_PATTERNS = {kind: re.compile(pattern) for kind, (pattern, _) in _CORE.items()}
_BASES = {"0o": 8, "0x": 16}


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc] # which of the two is seen at run time
    """Resolves by the core schema only; PyYAML's own tables are YAML 1.1's."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's name for its table


for _kind, (_pattern, _first) in _CORE.items():
    _Loader.add_implicit_resolver(
        _PREFIX + _kind, re.compile(rf"(?:{_pattern})\Z"), [*_first, *([""] * (_kind == "null"))]
    )

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Fault:
    """A fault at a position. `line` and `column` count from 1; `key` is dotted (`service.health.path`)."""

    line: int
    column: int
    key: str
    message: str


@dataclass
class YamlDocument:
    """The values, the position of each key (for list items and the document: of each value), and the faults.

    `sources`: the source text of each value that is not a string.
    """

    value: Any = None
    sources: dict[Path, str] = field(default_factory=dict)
    places: dict[Path, tuple[int, int]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def fault(self, path: Path, message: str) -> None:
        """Add a fault at a path, or at its closest ancestor in the text."""
        known = path
        while known not in self.places and known:
            known = known[:-1]
        line, column = self.places.get(known, (1, 1))
        self.faults.append(Fault(line, column, dotted(path), message))


def dotted(path: Path) -> str:
    """A path in dotted form: `build.steps[2]`."""
    out = ""
    for part in path:
        if len(out) > MAX_SHOWN:
            break
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else part
    return out[:MAX_SHOWN]


def read_yaml(text: str) -> YamlDocument:
    """Parse a text; errors are in `faults`."""
    document = YamlDocument()
    if len(text.encode("utf-8", errors="replace")) > MAX_TEXT:
        document.fault((), f"the file is larger than {MAX_TEXT // 1024} KiB")
        return document
    if directive := _DIRECTIVE.search(text):
        line = text.count("\n", 0, directive.start()) + 1
        document.faults.append(
            Fault(line, 1, "", "directives (lines that begin with %) are not supported; leave it out")
        )
        return document
    try:
        _check_shape(text)
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        said = ", ".join(part for part in (error.context, error.problem) if part)
        document.faults.append(Fault(line, column, "", f"not YAML: {said}"))
    except _TooMuchError as error:
        line, column = error.args
        said = f"nested deeper than {MAX_DEPTH} or more than {MAX_NODES} entries"
        document.faults.append(Fault(line, column, "", said))
    except yaml.YAMLError as error:
        line = text.count("\n", 0, getattr(error, "position", 0)) + 1
        document.faults.append(Fault(line, 1, "", "not YAML: there is a character that YAML does not allow"))
    else:
        if root is not None:
            document.value = _Builder(document).build(root, ())
    return document


def _check_shape(text: str) -> None:
    """Check the events, which needs no recursion, before anything recursive processes the text."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=_Loader)):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH or count > MAX_NODES:
            mark = event.start_mark
            raise _TooMuchError(mark.line + 1 if mark else 1, mark.column + 1 if mark else 1)


class _TooMuchError(Exception):
    """The text is too deep or too long; contains line and column."""


class _Builder:
    """Turns nodes into values, recording positions and faults."""

    def __init__(self, document: YamlDocument) -> None:
        self._document = document
        self._left = MAX_NODES

    def build(self, node: yaml.Node, path: Path) -> Any:
        self._left -= 1
        self._document.places.setdefault(path, _place(node))
        if self._left < 0 or len(path) > MAX_DEPTH:
            if self._left >= -1:  # report once
                self._left = -2
                self._document.fault(path, "aliases (*) repeat too much; write the values out")
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> Mapping[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, path)
            if key is None:
                continue
            below = (*path, key)
            if key in values:
                first = self._document.places[below][0]
                self._document.faults.append(
                    Fault(*_place(key_node), dotted(below), f"this key is already on line {first}")
                )
                continue
            self._document.places[below] = _place(key_node)
            if key == "<<" and not key_node.style:  # plain
                self._document.fault(below, "merge keys (<<) are not supported; write the values out")
                continue
            values[key] = self.build(value_node, below)
        return values

    def _key(self, node: yaml.Node, path: Path) -> str | None:
        """A key as text; None if it is not, which is recorded."""
        if isinstance(node, yaml.ScalarNode) and len(node.value) <= MAX_KEY:
            return str(node.value)
        why = f"a key is text of at most {MAX_KEY} characters"
        self._document.faults.append(Fault(*_place(node), dotted((*path, "?")), why))
        return None

    def _scalar(self, node: yaml.Node, path: Path) -> Any:
        kind = node.tag.removeprefix(_PREFIX)
        if kind == "str":
            return node.value
        if kind not in _CORE:
            self._document.fault(path, f"tags like {node.tag[:50]} are not supported")
            return None
        self._document.sources[path] = node.value[:MAX_NUMBER]
        try:
            return _read_scalar(kind, node.value)
        except ValueError as error:
            self._document.fault(path, f"{node.value[:50]!r} {error}; put it into quotes to mean text")
            return None


def _read_scalar(kind: str, text: str) -> int | float | bool | None:
    """A value by the core schema; raises `ValueError` with the fault."""
    if len(text) > MAX_NUMBER:
        raise ValueError("... is too long for a number")
    if not _PATTERNS[kind].fullmatch(text):
        raise ValueError(f"is no {kind}")
    match kind:
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int":
            base = _BASES.get(text[:2], 10)
            number = int(text[2:] if base != 10 else text, base)  # noqa: PLR2004 - decimal
            if abs(number) > MAX_INTEGER:
                raise ValueError("is too large a number")
            return number
    if not math.isfinite(value := float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))):
        raise ValueError("is no number that anything can be set to")
    return value


def _place(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1
