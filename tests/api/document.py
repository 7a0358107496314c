"""The routes of the OpenAPI document, as a walk needs them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any

from fastapi import FastAPI

from api.openapi.traversal import parameters_of
from runtime.ids import now

# Bodies with moments that must not be long ago.
DATED: Mapping[str, Any] = {
    "replay_events": {"since": f"{now() - timedelta(hours=1):%FT%TZ}"},
    "change_vulnerability": {
        "status": "suppressed",
        "suppression": {"reason": "not_affected", "expires_at": f"{now() + timedelta(days=7):%FT%TZ}"},
    },
}


@dataclass(frozen=True)
class Route:
    """One operation of the document; `path` is under /v1, with its parameters in braces."""

    method: str
    path: str
    operation: Mapping[str, Any]
    schemas: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Its operationId."""
        return str(self.operation["operationId"])

    @property
    def parameters(self) -> list[str]:
        """Path parameters, outermost first."""
        return re.findall(r"\{(\w+)\}", self.path)

    @property
    def is_public(self) -> bool:
        """Whether it asks for no credentials."""
        return not self.operation.get("security")

    @property
    def permissions(self) -> list[str]:
        """Those of which it asks for any one."""
        return list(self.operation.get("x-permissions", ()))

    @property
    def is_list(self) -> bool:
        """Whether it answers pages."""
        return "cursor" in self.queries

    @property
    def queries(self) -> list[str]:
        """Names of its query parameters."""
        return [str(one["name"]) for one in self.operation.get("parameters", ()) if one["in"] == "query"]

    @cached_property
    def body(self) -> Any:
        """The document's own example of its body, unless time has made it a wrong one; None: it takes none."""
        if self.name in DATED:
            return DATED[self.name]
        content = self.operation.get("requestBody", {}).get("content", {}).get("application/json")
        if content is None:
            return None
        if "example" in content:
            return content["example"]
        return next(iter(content["examples"].values()))["value"]

    @cached_property
    def references(self) -> set[str]:
        """Fields of its body, at any depth, that look like the id of something."""
        content = self.operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        return {name for name, schema in self._fields(content.get("schema", {}), frozenset()) if _is_id(name, schema)}

    def options(self) -> dict[str, Any]:
        """What a request takes beside its address."""
        return {} if self.body is None else {"json": self.body}

    def _fields(self, schema: Mapping[str, Any], seen: frozenset[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        if "$ref" in schema:
            name = str(schema["$ref"]).rpartition("/")[2]
            if name not in seen:
                yield from self._fields(self.schemas[name], seen | {name})
            return
        for name, below in schema.get("properties", {}).items():
            yield name, below
            yield from self._fields(below, seen)
        for below in (*schema.get("anyOf", ()), *schema.get("allOf", ()), *schema.get("oneOf", ())):
            yield from self._fields(below, seen)
        if isinstance(schema.get("items"), dict):
            yield from self._fields(schema["items"], seen)


def _is_id(name: str, schema: Mapping[str, Any]) -> bool:
    return name.endswith(("_id", "_ids")) or '"uuid"' in str(schema).replace("'", '"')


def routes_of(app: FastAPI) -> list[Route]:
    """All of them."""
    document = app.openapi()
    schemas = document["components"]["schemas"]
    return [
        Route(method.upper(), path, {**operation, "parameters": parameters_of(document, operation)}, schemas)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method != "parameters"
    ]
