"""The OpenAPI 3.1 document: FastAPI's, and additions that FastAPI cannot know."""

import re
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.openapi import about
from api.openapi.examples import give_examples
from api.openapi.limits import set_limits
from api.openapi.operations import describe_operations
from api.openapi.responses import complete_responses
from api.openapi.traversal import Json, all_schemas, operations
from api.openapi.webhooks import add_webhooks
from api.version import PREFIX

_GENERIC = re.compile(r"(?<=[A-Za-z])_(?=[A-Za-z])|_+$")


def build(app: FastAPI) -> Json:
    """The document of an application's routes. Paths are relative to the versioned base, as in the contract."""
    document = get_openapi(
        title=about.TITLE,
        version=about.VERSION,
        openapi_version="3.1.0",
        description=about.DESCRIPTION,
        routes=app.routes,
        contact=about.CONTACT,
        license_info=about.LICENSE,
        servers=about.SERVERS,
    )
    _rename_schemas(document)
    document["paths"] = {_relative(path): item for path, item in document["paths"].items()}
    describe_operations(document, app)
    complete_responses(document)
    add_webhooks(document)
    _tidy(document)
    set_limits(document)
    give_examples(document)
    return document


def _relative(path: str) -> str:
    return path.removeprefix(PREFIX)


def _tidy(document: Json) -> None:
    """Sorts tags, describes security schemes, removes titles that repeat names."""
    used = {tag for _, _, operation in operations(document) for tag in operation.get("tags", ())}
    document["tags"] = [{"name": name, "description": text} for name, text in about.TAGS.items() if name in used]
    document["components"]["securitySchemes"] = about.SECURITY_SCHEMES
    for schema in document["components"]["schemas"].values():
        schema.pop("title", None)
    for _, schema in all_schemas(document):
        if isinstance(schema.get("title"), str):
            del schema["title"]


def _rename_schemas(document: Json) -> None:
    """Renames `Envelope_BuildView_` to `BuildViewEnvelope` and `PageEnvelope_X_` to `XPage`, for client code."""
    names = {name: _readable(name) for name in document["components"]["schemas"]}
    if len(set(names.values())) < len(names):
        raise ValueError(f"two schemas would have one name: {sorted(names.values())}")
    document["components"]["schemas"] = {
        names[name]: schema for name, schema in document["components"]["schemas"].items()
    }
    _rename_references(document, names)


def _readable(name: str) -> str:
    generic = re.fullmatch(r"(Page|Cursor)?Envelope_(list_)?(.+?)_+", name)
    if generic is None:
        return _GENERIC.sub("", name.replace("-", ""))
    kind, several, inner = generic.groups()
    return f"{inner.removesuffix('View')}{kind or ('List' if several else 'Envelope')}"


def _rename_references(node: Any, names: dict[str, str]) -> None:
    if isinstance(node, list):
        for inner in node:
            _rename_references(inner, names)
    elif isinstance(node, dict):
        for inner in node.values():
            _rename_references(inner, names)
        reference = node.get("$ref")
        if isinstance(reference, str):
            head, _, name = reference.rpartition("/")
            node["$ref"] = f"{head}/{names.get(name, name)}"
