"""Python's types of arguments, from the document's schemas."""

from typing import Final

from sdks.generate.description import Json, Parameter
from sdks.generate.python.schemas import REFERENCE

PLAIN: Final = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}
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
    if "allOf" in schema and len(schema["allOf"]) == 1:
        return _of(schema["allOf"][0])
    kind = schema.get("type")
    if kind == "null":
        return "None"
    if kind == "array":
        return f"Sequence[{_of(schema.get('items', {}))}]"
    if kind == "object":
        inner = schema.get("additionalProperties")
        return f"Mapping[str, {_of(inner) if isinstance(inner, dict) and inner else ANY}]"
    if kind == "string" and "enum" in schema:
        return f"Literal[{', '.join(repr(one) for one in schema['enum'])}] | str"
    if kind == "string" and schema.get("format") == "date-time":
        return "str | datetime"
    return PLAIN.get(str(kind), ANY)
