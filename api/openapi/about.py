"""What the documents say about the API as a whole."""

from typing import Any

from api.version import PREFIX
from domain.permissions import Scope, in_words

TITLE = "AI Agent System API"
VERSION = "1.0.0"
DESCRIPTION = """Complete API for AI Agent System: plan, build and progressively deploy through one REST API.

Every answer is an envelope: `success`, `status`, `data` (or `error`) and `meta` with the request's id. With
`Accept: application/problem+json` errors come as RFC 9457 problems. Lists are paged. Every POST and PATCH takes an
`Idempotency-Key`. Credentials are a Bearer token or an API key.

Tokens come from the OAuth 2 server beside this API. Its endpoints speak RFC 6749 instead of the envelope and are no
part of this document: its metadata (RFC 8414) are at `/.well-known/oauth-authorization-server`.

This document as a [Postman collection](/postman-collection.json), and as [OpenAPI 3.0](/v1/openapi-3.0.json)."""
CONTACT = {"name": "API Support", "email": "api-support@example.com"}
LICENSE = {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0.html"}
SERVERS: list[dict[str, Any]] = [
    {
        "url": PREFIX,
        "description": "Where this document comes from: local, staging or production",
        "x-internal": False,
    },
    {
        "url": "https://{host}" + PREFIX,
        "description": "Production server",
        "x-internal": False,
        "variables": {"host": {"default": "api.example.com", "description": "Where it is installed"}},
    },
]
# Routes that bring a tag of their own need a line here: a test says so.
TAGS = {
    "Organizations": "Organization management",
    "Members": "Who belongs to an organization, in which role; invitations",
    "Service accounts": "Programs that act for themselves in an organization (client credentials)",
    "Applications": "Programs that act for whoever logs in to them (authorization code)",
    "Users": "Who you are",
    "Roles": "What each role may do",
    "Projects": "Project management",
    "Requirements": "Requirement management",
    "Features": "Features of a requirement and where the work on them stands",
    "Tests": "Test cases and their results",
    "Builds": "What was built of a feature, here or elsewhere",
    "Vulnerabilities": "What scans found, and what people decided about it",
    "Deployments": "Deployment operations",
    "Environments": "What runs where, whose turn it is, and when deploying is possible",
    "Secrets": "Secrets of projects: written, never read",
    "Operations": "Long-running operations: look, wait, follow, cancel",
    "API keys": "Credentials of services: made, rotated, revoked",
    "Audit log": "Who changed what, when and from where",
    "Webhooks": "Where events are sent, what was sent, and what came of it",
    "Monitoring": "Health of the system",
}
_FLOW = {
    "tokenUrl": "/oauth/token",
    "refreshUrl": "/oauth/token",
    "scopes": {str(scope): in_words(scope) for scope in Scope},
}
SECURITY_SCHEMES: dict[str, dict[str, Any]] = {
    "BearerAuth": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "An access token: RS256, `typ: at+jwt` (RFC 9068, checked as RFC8725 asks).",
    },
    "ApiKeyAuth": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "For service-to-service communication.",
    },
    "OAuth2": {
        "type": "oauth2",
        "description": "Where access tokens of BearerAuth come from (checked as RFC8725 asks); PKCE with S256.",
        "flows": {
            "authorizationCode": {**_FLOW, "authorizationUrl": "/oauth/authorize"},
            "clientCredentials": _FLOW,
        },
    },
}
