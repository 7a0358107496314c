"""Operations: names, descriptions of parameters, security."""

from typing import Final

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import RouteContext, iter_route_contexts

from api.auth.permissions import GRANTED, asks_who
from api.openapi.sdk_names import SDK_NAMES
from api.openapi.traversal import Json, operations
from api.version import PREFIX
from domain.permissions import Scope

NAMES = {
    "idempotency-key": "Idempotency-Key",
    "if-match": "If-Match",
    "prefer": "Prefer",
    "last-event-id": "Last-Event-ID",
}
DESCRIPTIONS = {
    "page_size": "how many a page",
    "sort_by": "what to sort by",
    "sort_order": "smallest (asc) or largest (desc) first",
    "status": "only those in this state",
    "environment": "only those of this environment",
    "kind": "only operations of this kind",
    "project_id": "only those of this project",
    "step": "only this step's log",
    "name": "which environment",
    "Last-Event-ID": "the last event that was seen; later ones follow",
}


# Either of these; routes do not declare them, as FastAPI would then look for both at every request.
CREDENTIALS: Final[list[Json]] = [{"BearerAuth": []}, {"ApiKeyAuth": []}]


def describe_operations(document: Json, app: FastAPI) -> None:
    """Set every operation's id, its security, and the descriptions of its parameters."""
    routes = {
        (route.path, method.lower()): route
        for route in iter_route_contexts(app.routes)
        for method in route.methods or ()
    }
    for path, method, operation in operations(document):
        route = routes.get((PREFIX + path, method)) or routes[path, method]
        operation["operationId"] = route.name
        if route.name and route.name in SDK_NAMES:
            operation["x-sdk-name"] = SDK_NAMES[route.name]
        operation["security"] = [dict(one) for one in CREDENTIALS] if asks_who(route.dependant) else []
        _tell_permission(operation, route)
        for parameter in operation.get("parameters", []):
            _describe(parameter)


def _tell_permission(operation: Json, route: RouteContext) -> None:
    scopes = _scopes(route.dependant)
    if not scopes:
        return
    operation["x-permissions"] = [str(scope) for scope in scopes]
    names = " or ".join(f"`{scope}`" for scope in scopes)
    operation["description"] = f"{operation.get('description', '')}\n\nPermission: {names}.".strip()


def _scopes(dependant: Dependant) -> tuple[Scope, ...]:
    for inner in dependant.dependencies:
        found = GRANTED.get(inner.call) if inner.call else None
        if found or (found := _scopes(inner)):
            return found
    return ()


def _describe(parameter: Json) -> None:
    name = str(NAMES.get(parameter["name"], parameter["name"]))
    parameter["name"] = name
    schema = parameter["schema"]
    text = parameter.get("description") or schema.get("description")
    if parameter["in"] == "path" and name.endswith("_id"):
        text = text or f"id of the {name.removesuffix('_id').replace('_', ' ').replace('org', 'organization')}"
    parameter["description"] = text or DESCRIPTIONS.get(name) or f"only those with this {name.replace('_', ' ')}"
    parameter["schema"] = _without_null(schema)


def _without_null(schema: Json) -> Json:
    """An absent parameter is omitted: there is no null in a URL or a header."""
    kinds = [kind for kind in schema.get("anyOf", []) if kind.get("type") != "null"]
    rest = {key: value for key, value in schema.items() if key not in {"anyOf", "description"}}
    return {**rest, **kinds[0]} if len(kinds) == 1 else {**rest, **({"anyOf": kinds} if kinds else {})}
