"""Traversal of an OpenAPI document."""

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]
METHODS = ("get", "put", "post", "delete", "patch")
_ONE = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
_MANY = ("anyOf", "oneOf", "allOf", "prefixItems")


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    """Path, method and operation, for each."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def schemas(node: Json, name: str = "") -> Iterator[tuple[str, Json]]:
    """A schema and all nested ones, each with the name of its property."""
    yield name, node
    for key in _ONE:
        if isinstance(node.get(key), dict):
            yield from schemas(node[key], name)
    for key in _MANY:
        for inner in node.get(key, []):
            yield from schemas(inner, name)
    for key, inner in node.get("properties", {}).items():
        yield from schemas(inner, key)


def all_schemas(document: Json) -> Iterator[tuple[str, Json]]:
    """All schemas of a document, in any place."""
    for schema in document["components"]["schemas"].values():
        yield from schemas(schema)
    for schema, name in _loose(document):
        yield from schemas(schema, name)


def _loose(node: Any) -> Iterator[tuple[Json, str]]:
    """Schemas of parameters, headers and bodies."""
    if isinstance(node, list):
        for inner in node:
            yield from _loose(inner)
    elif isinstance(node, dict):
        for key, inner in node.items():
            if key == "schema":
                yield inner, str(node.get("name", ""))
            elif key not in {"schemas", "example", "examples"}:
                yield from _loose(inner)


def body_of(operation: Json) -> Json | None:
    """The media type of an operation's JSON body; None: it has no body."""
    content: Json = operation.get("requestBody", {}).get("content", {})
    return content.get("application/json")


def referenced(document: Json, node: Any) -> set[str]:
    """Names of all schemas that are referenced, directly or indirectly."""
    found: set[str] = set()
    waiting = [node]
    while waiting:
        at = waiting.pop()
        if isinstance(at, list):
            waiting += at
        elif isinstance(at, dict):
            waiting += at.values()
            name = str(at.get("$ref", "")).removeprefix("#/components/schemas/")
            if name in document["components"]["schemas"] and name not in found:
                found.add(name)
                waiting.append(document["components"]["schemas"][name])
    return found


def target(document: Json, node: Json) -> Json:
    """The target of a reference; anything else is returned unchanged."""
    while "$ref" in node:
        at: Any = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            at = at[part]
        node = at
    return node


def parameters_of(document: Json, operation: Json) -> list[Json]:
    """The parameters of an operation, in full."""
    return [target(document, one) for one in operation.get("parameters", [])]
