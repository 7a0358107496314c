"""YAML text as plain values that remember where they stood, so that a fault can name line and column.

Reads a plain subset: no tags of one's own, no merge keys, one document. Size, depth and number of nodes (aliases
counted as often as they are used) are bounded, so that a hostile file costs nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

MAX_TEXT = 256 * 1024
MAX_DEPTH = 20
MAX_NODES = 20_000
_PREFIX = "tag:yaml.org,2002:"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Fault:
    """Something wrong at a place. `line` and `column` count from 1; `key` is dotted (`service.health.path`)."""

    line: int
    column: int
    key: str
    message: str


@dataclass
class YamlDocument:
    """Values, where each key (for list items and the document: each value) stands, and what is wrong with them."""

    value: Any = None
    places: dict[Path, tuple[int, int]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def fault(self, path: Path, message: str) -> None:
        """Note a fault at a path, or at the closest place above it that the text has."""
        known = path
        while known not in self.places and known:
            known = known[:-1]
        line, column = self.places.get(known, (1, 1))
        self.faults.append(Fault(line, column, dotted(path), message))


def dotted(path: Path) -> str:
    """A path as people write it: `build.steps[2]`."""
    out = ""
    for part in path:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else part
    return out[:200]


def read_yaml(text: str) -> YamlDocument:
    """Read a text; what is wrong with it stands in `faults`."""
    document = YamlDocument()
    if len(text.encode("utf-8", errors="replace")) > MAX_TEXT:
        document.fault((), f"the file is larger than {MAX_TEXT // 1024} KiB")
        return document
    try:
        _check_shape(text)
        root = yaml.compose(text, Loader=_LOADER)
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
    """Walk the events, which costs no recursion, before anything recursive touches the text."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=_LOADER)):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH or count > MAX_NODES:
            mark = event.start_mark
            raise _TooMuchError(mark.line + 1 if mark else 1, mark.column + 1 if mark else 1)


class _TooMuchError(Exception):
    """The text is too deep or too long; carries line and column."""


class _Builder:
    """Turns nodes into values, noting places and faults on the way."""

    def __init__(self, document: YamlDocument) -> None:
        self._document = document
        self._scalars = yaml.constructor.SafeConstructor()
        self._left = MAX_NODES

    def build(self, node: yaml.Node, path: Path) -> Any:
        self._left -= 1
        self._document.places.setdefault(path, _place(node))
        if self._left < 0 or len(path) > MAX_DEPTH:
            if self._left >= -1:  # said once
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
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else "?"
            below = (*path, key)
            if key in values:
                first = self._document.places[below][0]
                self._document.faults.append(
                    Fault(*_place(key_node), dotted(below), f"this key is already on line {first}")
                )
                continue
            self._document.places[below] = _place(key_node)
            if key_node.tag == f"{_PREFIX}merge":
                self._document.fault(below, "merge keys (<<) are not supported; write the values out")
                continue
            values[key] = self.build(value_node, below)
        return values

    def _scalar(self, node: yaml.Node, path: Path) -> Any:
        kind = node.tag.removeprefix(_PREFIX)
        if kind in {"str", "timestamp", "value"}:
            return node.value
        if kind not in {"int", "float", "bool", "null"}:
            self._document.fault(path, f"tags like {node.tag[:50]} are not supported")
            return None
        try:
            return self._scalars.construct_object(node)
        except ValueError:
            self._document.fault(path, f"{node.value[:50]!r} is no {kind}; put it into quotes to mean text")
            return None


def _place(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1
