"""Python's types of arguments, from the document's schemas."""

from typing import Final

from sdks.generate.description import Json, Parameter
from sdks.generate.python.schemas import REFERENCE

PLAIN: Final = {"null": "None", "integer": "int", "number": "float", "boolean": "bool"}
ANY: Final = "Any"


def argument(one: Parameter) -> str:
    """What a caller may give."""
    if one.place == "path":
        return "str" if "$ref" not in one.schema else _of(one.schema)
    kind = _of(one.schema)
    if one.place in {"query", "header"}:
        kind = " | ".join(part for part in kind.split(" | ") if part != "None")
    return kind


def _of(schema: Json) -> str:
    if "$ref" in schema:
        return f"params.{schema['$ref'].removeprefix(REFERENCE)}"
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(part for one in schema["anyOf"] for part in _of(one).split(" | ")))
    if schema.get("type") == "string":
        return _text(schema)
    if schema.get("type") == "array":
        return f"Sequence[{_of(schema.get('items', {}))}]"
    if schema.get("type") == "object":
        inner = schema.get("additionalProperties")
        return f"Mapping[str, {_of(inner) if isinstance(inner, dict) and inner else ANY}]"
    return PLAIN.get(str(schema.get("type")), ANY)


def _text(schema: Json) -> str:
    if "enum" in schema:
        return f"Literal[{', '.join(repr(one) for one in schema['enum'])}] | str"
    return "str | datetime" if schema.get("format") == "date-time" else "str"
