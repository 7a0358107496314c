"""A sample of any schema: the contract's example if there is one, else a valid value."""

import zlib
from typing import Any

from api.openapi.traversal import Json, target

MOMENT = "2024-10-26T10:30:00Z"
META = {"timestamp": MOMENT, "request_id": "req-uuid-12345", "version": "1.0"}
# Names in paths of resources whose view has another name.
_NAMES = {"CaseView": "testcase", "ResultView": "result"}
_TEXTS = {
    "date-time": MOMENT,
    "date": MOMENT[:10],
    "duration": "PT8H",
    "uri": "https://example.com",
    "uri-reference": "about:blank",
}


class Samples:
    """Samples of one document's schemas. `known`: values of the contract, by the schema's name."""

    def __init__(self, document: Json, known: dict[str, Json]) -> None:
        self._document = document
        self._known = known

    def of(self, schema: Json, name: str = "", owner: str = "") -> Any:
        """A value that fits a schema.

        Args:
            schema: or a reference to one.
            name: of its property.
            owner: schema of the property.
        """
        if schema.get("default") is not None:
            return schema["default"]
        if "$ref" in schema:
            owner = schema["$ref"].rpartition("/")[2]
            schema = target(self._document, schema)
        for key in ("example", "const"):
            if schema.get(key) is not None:
                return schema[key]
        if "enum" in schema:
            return schema["enum"][0]
        if "anyOf" in schema:
            return self._first(schema["anyOf"], name, owner)
        return self._typed(schema, name, owner)

    def _first(self, kinds: list[Json], name: str, owner: str) -> Any:
        """Nullable values are null unless the contract's examples have a value."""
        return None if {"type": "null"} in kinds else self.of(kinds[0], name, owner)

    def _typed(self, schema: Json, name: str, owner: str) -> Any:
        kind = schema.get("type")
        if kind == "object":
            return self._object(schema, owner)
        if kind == "array":
            return [self.of(schema["items"], name, owner)] if schema.get("items") else []
        if kind in {"integer", "number"}:
            return schema.get("minimum", 0)
        if kind == "boolean":
            return False
        return self._text(schema, name, owner) if kind == "string" else None

    def _object(self, schema: Json, owner: str) -> Json:
        known = self._known.get(owner, {})
        made = {name: self.of(inner, name, owner) for name, inner in schema.get("properties", {}).items()}
        if schema.get("additionalProperties") is False:  # in a request optional fields are omitted
            made = {name: value for name, value in made.items() if name in known or name in schema.get("required", [])}
        return {**made, **known}

    def _text(self, schema: Json, name: str, owner: str) -> str:
        if schema.get("format") == "uuid":
            return sample_id(_NAMES.get(owner, owner.removesuffix("View").lower()) + "_id" if name == "id" else name)
        if schema.get("format") in _TEXTS:
            return _TEXTS[schema["format"]]
        return META["request_id"] if name == "request_id" else name.replace("_", " ") or "text"


def sample_id(name: str) -> str:
    """The fixed id of a name in the samples; some ids have two names."""
    name = {"org_id": "organization_id", "test_case_id": "testcase_id"}.get(name, name)
    return f"0192c7a0-1b2c-7000-8000-{zlib.crc32(name.encode()):012x}"
