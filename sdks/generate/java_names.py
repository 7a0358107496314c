"""What Java calls what the document names, and its words in Javadoc."""

import html
import re
from collections.abc import Iterator
from typing import Any, Final

from sdks.generate.description import Json, Method

WORDS: Final = frozenset(
    [
        "abstract",
        "assert",
        "boolean",
        "break",
        "build",
        "byte",
        "case",
        "catch",
        "char",
        "class",
        "const",
        "continue",
        "default",
        "do",
        "double",
        "else",
        "enum",
        "extends",
        "final",
        "finally",
        "float",
        "for",
        "goto",
        "if",
        "implements",
        "import",
        "instanceof",
        "int",
        "interface",
        "long",
        "native",
        "new",
        "package",
        "private",
        "protected",
        "public",
        "return",
        "short",
        "static",
        "strictfp",
        "super",
        "switch",
        "synchronized",
        "this",
        "throw",
        "throws",
        "transient",
        "try",
        "void",
        "volatile",
        "while",
    ]
)


def words_of(text: str) -> str:
    """Markdown of the document as Javadoc."""
    safe = html.escape(text, quote=False).replace("@", "&#64;").replace("*/", "*&#47;")
    coded = re.sub(r"`([^`]*)`", lambda found: f"<code>{found[1]}</code>", safe)
    return re.sub(r"\n\s*\n", "\n\n<p>", coded.strip()).replace("\n\n", " ").replace("\n", " ")


def pascal(name: str) -> str:
    """A class's name."""
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", name) if part)


def camel(name: str) -> str:
    """A method's or an argument's name."""
    whole = pascal(name)
    made = whole[:1].lower() + whole[1:]
    return f"{made}_" if made in WORDS else made


def beside_null(schema: Json) -> tuple[Json, bool]:
    """The schema beside null, and whether it may be null."""
    kinds = schema.get("anyOf")
    if not kinds:
        return schema, False
    real = [one for one in kinds if one.get("type") != "null"]
    return (real[0] if len(real) == 1 else {}), len(real) < len(kinds)


def type_of(schema: Json) -> str:  # noqa: PLR0911 - one for each type
    """What Java calls it."""
    kind, _ = beside_null(schema)
    if "$ref" in kind:
        return pascal(kind["$ref"].rpartition("/")[2])
    match kind.get("type"), kind.get("format"):
        case "string", "date-time":
            return "OffsetDateTime"
        case "string", _:
            return "String"
        case "integer", "int64":
            return "Long"
        case "integer", _:
            return "Integer"
        case "number", _:
            return "Double"
        case "boolean", _:
            return "Boolean"
        case "array", _:
            return f"List<{type_of(kind.get('items', {}))}>"
    inner = kind.get("additionalProperties")
    return (
        f"Map<String, {type_of(inner)}>"
        if isinstance(inner, dict)
        else "Map<String, Object>"
        if inner or kind.get("type") == "object"
        else "Object"
    )


def references(node: Any) -> Iterator[str]:
    """The schemas that are named somewhere in it."""
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"].rpartition("/")[2]
        for inner in node.values():
            yield from references(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from references(inner)


def params_of(method: Method) -> str:
    """The class of a method's arguments."""
    return f"{pascal(method.resource)}{pascal(method.name)}Params"
