"""Converts OpenAPI 3.1 to 3.0.3, for tools that support only that."""

import json
from typing import Any

from api.openapi.traversal import Json, referenced

VERSION = "3.0.3"
NULL = {"type": "string", "nullable": True, "enum": [None]}
_ONLY_31 = (
    "$schema",
    "$id",
    "$comment",
    "contentMediaType",
    "contentEncoding",
    "propertyNames",
    "contains",
    "if",
    "then",
    "else",
)


def as_3_0(document: Json) -> Json:
    """The document as 3.0.3; the argument is not changed."""
    older: Json = _converted(document)
    older["openapi"] = VERSION
    older["info"].pop("summary", None)
    older["info"].get("license", {}).pop("identifier", None)
    if older.pop("webhooks", None):
        _drop_unused(older)
    older.pop("jsonSchemaDialect", None)
    return older


def _drop_unused(older: Json) -> None:
    """Removes parameters and schemas used by webhooks only, which 3.0 does not have."""
    components = older["components"]
    text = json.dumps(older["paths"])
    components["parameters"] = {
        name: part for name, part in components["parameters"].items() if f'"#/components/parameters/{name}"' in text
    }
    used = referenced(older, [older["paths"], {name: part for name, part in components.items() if name != "schemas"}])
    components["schemas"] = {name: schema for name, schema in components["schemas"].items() if name in used}


def _converted(node: Any, *, in_schema: bool = False) -> Any:
    """A converted part of the document; values in examples are left unchanged."""
    if isinstance(node, list):
        return [_converted(inner, in_schema=in_schema) for inner in node]
    if not isinstance(node, dict):
        return node
    if in_schema:
        return _schema(node)
    return {key: _part(key, value) for key, value in node.items()}


def _part(key: str, value: Any) -> Any:
    if key in {"example", "examples"}:
        return value
    if key == "schemas":
        return {name: _schema(schema) for name, schema in value.items()}
    return _converted(value, in_schema=key == "schema")


def _schema(schema: Json) -> Json:
    made = {key: _inside(key, value) for key, value in schema.items() if key not in _ONLY_31}
    _say_null(made)
    _say_const(made)
    _say_bounds(made)
    _say_tuple(made)
    if isinstance(made.get("examples"), list):
        made.setdefault("example", made.pop("examples")[0])
    if "$ref" in made and len(made) > 1:  # 3.0 ignores everything beside a reference
        made = {"allOf": [{"$ref": made.pop("$ref")}], **made}
    return made


def _inside(key: str, value: Any) -> Any:
    if key in {"properties", "patternProperties", "$defs"}:
        return {name: _schema(inner) for name, inner in value.items()}
    if key in {"items", "additionalProperties", "not"} and isinstance(value, dict):
        return _schema(value)
    if key in {"anyOf", "oneOf", "allOf", "prefixItems"}:
        return [_schema(inner) for inner in value]
    return value


def _say_null(made: Json) -> None:
    """`null` is not a type in 3.0: `nullable` replaces it, beside a type only."""
    kinds = made.get("type")
    if isinstance(kinds, list):
        made["nullable"] = "null" in kinds
        made["type"] = next(kind for kind in kinds if kind != "null")
    elif kinds == "null":
        made.update(NULL)
    for word in ("anyOf", "oneOf"):
        some = [kind for kind in made.get(word, []) if kind != NULL]
        if len(some) == 1 < len(made[word]) and "type" in some[0] and "enum" not in some[0]:
            del made[word]
            made.update(some[0], nullable=True)


def _say_const(made: Json) -> None:
    if "const" in made:
        made["enum"] = [made.pop("const")]


def _say_bounds(made: Json) -> None:
    for word, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(made.get(word), int | float) and not isinstance(made[word], bool):
            made[bound] = made.pop(word)
            made[word] = True


def _say_tuple(made: Json) -> None:
    if "prefixItems" in made:
        made["items"] = {"anyOf": made.pop("prefixItems")}
    if made.get("type") == "array":
        made.setdefault("items", {})
