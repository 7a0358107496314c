"""YAML as plain values with the place of each key, by the rules that the engine reads it with (YAML 1.2's core)."""

import re
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

Path = tuple[str | int, ...]
LARGEST: Final = 256 * 1024
DEEPEST: Final = 20
MOST: Final = 20_000
_CORE: Final = {
    "null": (r"null|Null|NULL|~|", "nN~"),
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    "float": (
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
}


class _Loader(yaml.SafeLoader):
    """Resolves plain scalars as YAML 1.2 does: `yes` and `12:30` are text."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's name for its table


for _kind, (_pattern, _first) in _CORE.items():
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_kind}", re.compile(rf"(?:{_pattern})\Z"), [*_first, *([""] * (_kind == "null"))]
    )


@dataclass(frozen=True)
class Fault:
    """What is wrong, and where; lines and columns count from 1."""

    line: int
    column: int
    key: str
    message: str


@dataclass
class Document:
    """The values, the place of each, and what is wrong with the YAML itself."""

    value: Any = None
    places: dict[Path, tuple[int, int]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    nodes: int = 0

    def fault(self, path: Path, message: str) -> None:
        """Add a fault at a key, or at the nearest one around it."""
        known = path
        while known and known not in self.places:
            known = known[:-1]
        line, column = self.places.get(known, (1, 1))
        self.faults.append(Fault(line, column, ".".join(map(str, path)), message))


def read(text: str) -> Document:
    """The document; what cannot be read is among its faults."""
    document = Document()
    if len(text.encode(errors="replace")) > LARGEST:
        document.fault((), f"is larger than {LARGEST // 1024} KiB")
        return document
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        document.faults.append(Fault(line, column, "", f"no YAML: {error.problem or error}"))
        return document
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        document.fault((), f"no YAML: {' '.join(str(error).split())[:200]}")
        return document
    if node is not None:
        document.places[()] = (node.start_mark.line + 1, node.start_mark.column + 1)
        document.value = _value(document, node, ())
    return document


def _value(document: Document, node: Any, path: Path) -> Any:
    document.nodes += 1
    if len(path) > DEEPEST or document.nodes > MOST:
        if not any("nested" in one.message for one in document.faults):
            document.fault(path, "is nested too deep, or too long")
        return None
    if isinstance(node, yaml.MappingNode):
        return _mapping(document, node, path)
    if isinstance(node, yaml.SequenceNode):
        return [_placed(document, inner, (*path, number)) for number, inner in enumerate(node.value)]
    return _scalar(document, node, path)


def _placed(document: Document, node: Any, path: Path) -> Any:
    document.places[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
    return _value(document, node, path)


def _mapping(document: Document, node: Any, path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key_node, inner in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            document.fault(path, "a key must be a word")
            continue
        key = key_node.value
        document.places[(*path, key)] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
        if key == "<<":
            document.fault((*path, key), "merge keys are not read; write the keys out")
        elif key in found:
            document.fault((*path, key), "is there twice")
        else:
            found[key] = _value(document, inner, (*path, key))
    return found


def _scalar(document: Document, node: Any, path: Path) -> Any:
    kind = node.tag.rpartition(":")[2]
    text: str = node.value
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int":
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        return int(text[2:] if base != 10 else text, base) if len(text) <= 64 else text
    if kind == "float":
        return float(text.replace(".inf", "inf").replace(".Inf", "inf").replace(".INF", "inf").replace(".nan", "nan"))
    if kind != "str":
        document.fault(path, f"the tag {node.tag} is not read")
    return text
