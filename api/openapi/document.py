"""The OpenAPI 3.1 document: FastAPI's, and additions that FastAPI cannot know."""

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.openapi import about
from api.openapi.error_codes import add_error_codes
from api.openapi.examples import give_examples
from api.openapi.limits import set_limits
from api.openapi.operations import describe_operations
from api.openapi.responses import complete_responses
from api.openapi.schema_names import name_schemas
from api.openapi.sharing import name_inline_schemas, say_optional_bodies, share_parts
from api.openapi.traversal import Json, all_schemas, operations
from api.openapi.webhooks import add_webhooks
from api.version import PREFIX


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
    document["paths"] = {_relative(path): item for path, item in document["paths"].items()}
    describe_operations(document, app)
    say_optional_bodies(document)
    complete_responses(document)
    add_error_codes(document)
    add_webhooks(document)
    name_inline_schemas(document)
    _tidy(document)
    set_limits(document)
    give_examples(document)
    name_schemas(document)
    share_parts(document)
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
