"""The document's schemas as Python's models need them: what a client reads is not validated again, only given types."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from sdks.generate.description import Api, Json

REFERENCE: Final = "#/components/schemas/"
# Bounds are the server's business: a newer server may have wider ones. Ids are plain strings.
BOUNDS: Final = frozenset(
    {
        *(
            "pattern",
            "minLength",
            "maxLength",
            "minimum",
            "maximum",
            "exclusiveMinimum",
            "exclusiveMaximum",
            "multipleOf",
        ),
        *("minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties", "propertyNames"),
        *("title", "example", "examples", "default", "x-error-codes"),
    }
)
NUMBERS: Final = frozenset({"int32", "int64", "double", "float", "uuid", "uri", "email"})
# What the hand-written part reads.
NEEDED: Final = ("AcceptedOperation", "Deployment", "Operation")


def answered(api: Api) -> set[str]:
    """The schemas that methods give back, and what these are made of; webhooks' events too."""
    roots = {name for method in api.methods for name in (method.model, *method.others.values()) if name}
    return set(_reachable(api.schemas, {*roots, *NEEDED, *events(api).values()}))


def events(api: Api) -> Mapping[str, str]:
    """By the name of a webhook's event, its schema."""
    found = {}
    for name, item in api.document["webhooks"].items():
        schema = item["post"]["requestBody"]["content"]["application/json"]["schema"]
        found[name] = schema["$ref"].removeprefix(REFERENCE)
    return found


def given(api: Api) -> set[str]:
    """The schemas that arguments are made of: parts of bodies, and what parameters choose from."""
    parts = [one.schema for method in api.methods for one in method.parameters]
    return set(_reachable(api.schemas, {name for part in parts for name in references(part)}))


def _reachable(schemas: Mapping[str, Json], roots: Iterable[str]) -> Iterator[str]:
    seen: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting.extend(references(schemas[name]))
            yield name


def references(node: Any) -> Iterator[str]:
    """The names of the schemas that a part of the document refers to."""
    if isinstance(node, dict):
        if isinstance(reference := node.get("$ref"), str):
            yield reference.removeprefix(REFERENCE)
        for inner in node.values():
            yield from references(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from references(inner)


def document(schemas: Mapping[str, Json], *, answers: bool) -> Json:
    """A document of some schemas.

    Args:
        schemas: by name.
        answers: what is read: unknown fields and values may come, null may be left out. Otherwise what is given.
    """
    bare = {name: _bare(schema, answers=answers) for name, schema in sorted(schemas.items())}
    return {
        "openapi": "3.1.0",
        "info": {"title": "models", "version": "1"},
        "paths": {},
        "components": {"schemas": bare},
    }


def _bare(node: Any, *, answers: bool) -> Any:
    if isinstance(node, list):
        return [_bare(one, answers=answers) for one in node]
    if not isinstance(node, dict):
        return node
    found = {
        key: inner for key, inner in node.items() if key not in BOUNDS or (isinstance(inner, dict) and key == "default")
    }
    if found.get("format") in NUMBERS:
        del found["format"]
    if found.get("additionalProperties") is False or "properties" in found:
        found.pop("additionalProperties", None)
    if "properties" in found:
        return {**found, **_fields(found, answers=answers)}
    if "enum" in found and found.get("type", "string") == "string":
        return _open(found)
    return {key: _bare(inner, answers=answers) for key, inner in found.items()}


def _fields(schema: Json, *, answers: bool) -> Json:
    fields = {name: _bare(inner, answers=answers) for name, inner in schema["properties"].items()}
    required = schema.get("required", [])
    if answers:
        required = [name for name in required if not _may_be_null(schema["properties"][name])]
        fields = {
            name: inner if "const" not in inner or name == "event" else {"type": "string"}
            for name, inner in fields.items()
        }
    return {"properties": fields, "required": required}


def _may_be_null(schema: Json) -> bool:
    return any(one.get("type") == "null" for one in schema.get("anyOf", ()))


def _open(schema: Json) -> Json:
    """An enumeration to which a newer server may add: its values are named, and any other text may come."""
    words = {"description": schema["description"]} if "description" in schema else {}
    values = [one for one in schema["enum"] if one is not None]
    return {**words, "anyOf": [{"type": "string", "enum": values}, {"type": "string"}]}
