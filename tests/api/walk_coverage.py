"""Whether the walk (test_isolation.py, test_permissions.py) reaches everything that an application serves."""

from collections.abc import Sequence

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from api.version import PREFIX
from tests.api.document import Route
from tests.api.owned_resources import FILLERS, REFERENCES

# Routes for everybody, and why.
PUBLIC = {
    "health": "for probes",
    "livez": "for probes",
    "readyz": "for probes",
    "accept_invitation": "the token of the invitation is what one needs; tests/api/test_invitations.py",
}
# Routes for whoever has credentials, whatever they carry, and why.
ANYBODY = {
    "get_me": "tells what the credentials carry",
    "change_me": "users change themselves",
    "list_roles": "published in the documentation too",
}
# Routes for platform admins alone, and why.
OF_PLATFORM = {
    "list_platform_audit_entries": "what was done to no organization",
    "export_platform_audit_entries": "the same",
}
# Served, and in no document: pages and documents about the API, Temporal's own protocol (tests/api/test_codec.py), and
# the OAuth server, which knows no ids but those of its clients and tokens (tests/api/oauth).
HIDDEN = (
    "/docs",
    "/redoc",
    "/docs-assets",
    "/openapi",
    "/postman-collection.json",
    "/temporal/codec",
    "/oauth/",
    "/.well-known/",
)


def faults_of(app: FastAPI, routes: Sequence[Route]) -> list[str]:
    """What an application serves and the walk would not know what to do with."""
    unknown = {name for route in routes for name in route.parameters} - FILLERS.keys()
    named = {field for route in routes for field in route.references} - REFERENCES.keys()
    public = {route.name for route in routes if route.is_public} ^ PUBLIC.keys()
    free = {route.name for route in routes if not route.permissions} ^ (PUBLIC.keys() | ANYBODY.keys())
    said = {
        f"{unknown}: add how to make such a thing to FILLERS in tests/api/owned_resources.py": unknown,
        f"{named}: add what these fields of bodies name to REFERENCES in tests/api/owned_resources.py": named,
        f"{public}: ask for credentials, or say in PUBLIC in tests/api/walk_coverage.py why not": public,
        f"{free}: ask for a permission, or say in ANYBODY in tests/api/walk_coverage.py why not": free,
        **{f"{path} is in no document, so that nothing walks it": {path} for path in _undocumented(app, routes)},
    }
    return [words for words, found in said.items() if found]


def _undocumented(app: FastAPI, routes: Sequence[Route]) -> set[str]:
    documented = {(route.method, route.path) for route in routes}
    served = {
        (method, (context.path or "").removeprefix(PREFIX))
        for context in iter_route_contexts(app.routes)
        for method in context.methods or ()
    }
    return {path for _, path in served - documented if not path.startswith(HIDDEN)}
